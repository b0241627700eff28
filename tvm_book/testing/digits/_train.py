"""Train a network on one thread, so that the same call gives the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ._data import check
from ._mobilenet_v2 import MobileNetV2
from ._resnet import ResNet
from ._vit import VisionTransformer

__all__ = ["NETWORKS", "train"]

BATCH = 32


class Network(NamedTuple):
    """How to make an untrained network, and how to train it."""

    make: Callable[[], nn.Module]
    learning_rate: float
    epochs: int


NETWORKS = {
    "resnet": Network(ResNet, learning_rate=0.01, epochs=20),
    "mobilenet_v2": Network(MobileNetV2, learning_rate=0.01, epochs=20),
    "vit": Network(VisionTransformer, learning_rate=0.003, epochs=30),
}


def train(
    name: str, images: np.ndarray, labels: np.ndarray, seed: int = 0, epochs: int | None = None
) -> nn.Module:
    """Train one of `NETWORKS` to tell digits apart.

    Torch's random state and number of threads are afterwards as they were. On one machine, equal
    arguments give equal weights; another processor may add in another order.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`: ``"resnet"`` (residual blocks), ``"mobilenet_v2"`` (depthwise
        convolutions, ReLU6) or ``"vit"`` (attention, layer norm, GELU).
    images : numpy.ndarray
        Grey levels 0 to 16, (N, 8, 8) or (N, 1, 8, 8), any real dtype.
    labels : numpy.ndarray
        Digits 0 to 9, (N,), an integer dtype.
    seed : int
        Of the weights at the start, and of the order of the images.
    epochs : int, optional
        How often each image is seen; by default what `NETWORKS` says.

    Returns
    -------
    torch.nn.Module
        In evaluation mode. Maps float32 (N, 1, 8, 8), grey levels 0 to 16, to scores (N, 10).

    Raises
    ------
    ValueError
        If there is no network of that name, or a shape or label is wrong.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> images, labels = rng.integers(0, 17, (40, 8, 8)), rng.integers(0, 10, 40)
    >>> model = train("resnet", images, labels, epochs=1)
    >>> model(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    if name not in NETWORKS:
        raise ValueError(f"no network {name!r}; there are {', '.join(NETWORKS)}")
    x, y = map(torch.from_numpy, check(images, labels))
    network = NETWORKS[name]
    epochs = network.epochs if epochs is None else epochs
    with _repeatable(seed):
        model = network.make()
        batches = [batch for _ in range(epochs) for batch in torch.randperm(len(x)).split(BATCH)]
        _fit(model, x, y, batches, network.learning_rate)
    return model.eval()


def _fit(model: nn.Module, x: torch.Tensor, y: torch.Tensor, batches: list, rate: float) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, len(batches))
    for batch in batches:
        # Shifted by a pixel at most, so that the place of a stroke is nothing to learn by heart.
        shift = torch.randint(-1, 2, (2,)).tolist()
        loss = nn.functional.cross_entropy(model(x[batch].roll(shift, dims=(2, 3))), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """One thread fixes the order in which a sum is added up; a seed, everything random."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
