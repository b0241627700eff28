"""Inputs from a seed that differ from each other the way that real ones do."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

__all__ = ["images", "sequences", "tokens"]


def images(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw images with structures of every size, of mean 0 and deviation 1 on average.

    The sum of noise at sizes 1, 2, 4, ... up to the image's own, each of the same power: the
    spectrum of natural images (Field 1987, doi:10.1364/JOSAA.4.002379). White noise would look
    the same to a network whichever sample it is.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : tuple of int
        (N, C, H, W).

    Returns
    -------
    numpy.ndarray
        float32.
    """
    count, channels, height, width = shape
    total = torch.zeros(shape)
    octaves = range(max(height, width).bit_length())
    for octave in octaves:
        size = [min(2**octave, height), min(2**octave, width)]
        noise = rng.standard_normal((count, channels, *size), "float32")
        total += functional.interpolate(torch.from_numpy(noise), (height, width), mode="nearest")
    return (total / len(octaves) ** 0.5).numpy()


def sequences(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw random walks of length T in F features, float32 (N, T, F), of deviation 1 at the end."""
    steps = rng.standard_normal(shape, "float32")
    return np.cumsum(steps, 1, dtype="float32") / np.float32(shape[1] ** 0.5)


def tokens(rng: np.random.Generator, shape: tuple[int, ...], vocabulary: int) -> np.ndarray:
    """Draw int64 token numbers below `vocabulary`, small ones more often than large ones."""
    # Zipf's law: the logarithm of a word's rank is about uniform
    ranks = np.exp(rng.uniform(0, np.log(vocabulary + 1), shape))
    return np.minimum(ranks.astype("int64") - 1, vocabulary - 1)
