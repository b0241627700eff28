"""From the range of a tensor to its grid, and from a weight to its range."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..config import QConfig
from ._mse_weights import mse_magnitudes
from ._statistic import grid_family

__all__ = ["Steps", "make_grid", "weight_magnitudes"]


class Steps(NamedTuple):
    """``scale * k`` with whole ``low <= k <= high``."""

    scale: np.float32 | np.ndarray
    low: np.float32
    high: np.float32


def make_grid(
    kind: str, low: float | np.ndarray, high: float | np.ndarray, config: QConfig
) -> Steps:
    """Return the grid of ``kind`` for values from ``low`` to ``high``.

    A range without extent (or so small that float32 cannot divide by the step) lies on any grid; it
    gets the one that ends at 1.

    Parameters
    ----------
    kind : str
    low, high : float or numpy.ndarray
        ``low <= 0 <= high``; arrays where a weight's channels have ranges of their own.
    config : QConfig

    Returns
    -------
    Steps

    Examples
    --------
    >>> make_grid("input", -8.0, 8.0, QConfig()).scale
    np.float32(0.0625)
    >>> config = QConfig(preset="accurate")
    >>> [float(x) for x in make_grid("input", 0.0, 51.0, config)]
    [0.20000000298023224, 0.0, 255.0]
    """
    family = grid_family(kind, config)
    if family.symmetric:
        scale = np.asarray(np.maximum(-low, high) / family.divisor, np.float32)
        tiny = scale < np.finfo(np.float32).tiny
        scale = np.where(tiny, np.float32(1 / family.divisor), scale)
        return Steps(scale[()], np.float32(-family.steps), np.float32(family.steps))
    scale = np.float32((high - low) / family.divisor)
    if scale < np.finfo(np.float32).tiny:
        low, scale = 0.0, np.float32(1 / family.divisor)
    first = np.float32(np.clip(np.rint(low / scale), -family.steps, 0))
    return Steps(scale, first, np.float32(first + family.steps))


def _power_of_two_above(magnitudes: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.where(magnitudes > 0, 2.0 ** np.ceil(np.log2(magnitudes)), 0.0)


def weight_magnitudes(weight: np.ndarray, axis: int | None, config: QConfig) -> np.ndarray:
    """Return the largest magnitude that a weight's grid should hold.

    Parameters
    ----------
    weight : numpy.ndarray of float32
    axis : int or None
        That of the output channels.
    config : QConfig

    Returns
    -------
    numpy.ndarray of float64
        0-d, or with one number an output channel if ``config.weight_granularity`` says so; it then
        broadcasts to ``weight``.

    Raises
    ------
    ValueError
        If the weight holds a NaN or infinity.
    """
    if not np.isfinite(weight).all():
        raise ValueError(f"a constant of main, of shape {weight.shape}, has a NaN or infinity")
    if axis is None or config.weight_granularity == "tensor":
        rows, shape = weight.reshape(1, -1), ()
    else:
        rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
        shape = tuple(-1 if i == axis else 1 for i in range(weight.ndim))
    if config.weight_scale == "mse":
        magnitudes = mse_magnitudes(rows, config.nbit_weight, grid_family("weight", config).divisor)
    else:
        magnitudes = np.abs(rows).max(axis=1, initial=0.0).astype(np.float64)
        if config.weight_scale == "power2":
            magnitudes = _power_of_two_above(magnitudes)
    return np.asarray(magnitudes, np.float64).reshape(shape)
