"""Which images train, which calibrate, and which only test."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Split", "split"]


class Split(NamedTuple):
    """Three parts of a set of images; images are float32 (N, 1, 8, 8), labels int64 (N,).

    Parameters
    ----------
    train_x, train_y : numpy.ndarray
        Images to train with, and their labels.
    calibration : numpy.ndarray
        Images to choose thresholds with: the first of ``train_x``, for calibration may not see
        what it is tested with.
    test_x, test_y : numpy.ndarray
        Images that neither training nor calibration sees, and their labels.
    """

    train_x: np.ndarray
    train_y: np.ndarray
    calibration: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def split(
    images: np.ndarray, labels: np.ndarray, held_back: int = 600, calibration: int = 200
) -> Split:
    """Divide the images without shuffling: the last ones are by writers whom training never saw.

    Parameters
    ----------
    images : numpy.ndarray
        Grey levels 0 to 16, (N, 8, 8) or (N, 1, 8, 8), any real dtype: ``load_digits().images``.
    labels : numpy.ndarray
        Digits 0 to 9, (N,), an integer dtype: ``load_digits().target``.
    held_back : int
        How many images at the end only test.
    calibration : int
        How many of the other images, from the first, calibrate as well.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If a shape is another, or there are too few images.

    Examples
    --------
    >>> images, labels = np.zeros((50, 8, 8)), np.zeros(50, int)
    >>> parts = split(images, labels, held_back=20, calibration=10)
    >>> parts.train_x.shape, parts.calibration.shape, parts.test_x.shape
    ((30, 1, 8, 8), (10, 1, 8, 8), (20, 1, 8, 8))
    """
    images, labels = check(images, labels)
    train = len(images) - held_back
    if not 0 < held_back or not 0 < calibration <= train:
        raise ValueError(
            f"{len(images)} images cannot give {held_back} to test and {calibration} of the others "
            "to calibrate; both must be positive, and fit"
        )
    return Split(
        images[:train], labels[:train], images[:calibration], images[train:], labels[train:]
    )


def check(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return images as float32 (N, 1, 8, 8) and labels as int64 (N,), or raise `ValueError`."""
    images, labels = np.asarray(images, np.float32), np.asarray(labels)
    if images.shape[1:] not in ((8, 8), (1, 8, 8)) or labels.shape != images.shape[:1]:
        raise ValueError(
            f"images {images.shape} and labels {labels.shape}: give (N, 8, 8) or (N, 1, 8, 8), "
            "and (N,)"
        )
    if labels.dtype.kind not in "iu" or not ((labels >= 0) & (labels <= 9)).all():
        raise ValueError("labels are whole numbers from 0 to 9")
    return images.reshape(-1, 1, 8, 8), labels.astype(np.int64)
