"""Mean squared error: the range whose grid changes the values least.

A wide grid rounds coarsely, a narrow one cuts values off; the sum of both squared errors is
minimized (as, for Laplace and Gauss distributions, in R. Banner et al., "Post training 4-bit
quantization of convolutional networks for rapid-deployment", NeurIPS 2019, section 3).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ._grid_error import best_range
from ._mse_weights import mse_magnitudes
from ._statistic import Extremes, flat, grid_family

if TYPE_CHECKING:
    from ..config import QConfig

__all__ = ["KEY", "MSE", "mse_magnitudes"]

KEY = "mse"
HALF = 4096  # bins on each side of zero
_BLOCK = 1 << 16  # values at a time, so that what is computed on the way stays in the cache
_SMALLEST = -149  # exponent of the smallest float32


class MSE:
    """One pass into a histogram; the range is searched for when the data has been seen.

    The width of the bins is a power of two that the largest magnitude alone decides. When a larger
    one comes, neighbouring bins are merged in pairs, which gives the counts that the wider bins
    would have had from the beginning. So batches and shards make no difference.

    Examples
    --------
    >>> from tvm_book.quantize import QConfig
    >>> values = np.append(np.random.default_rng(0).standard_normal(5000), 40).astype("float32")
    >>> watcher = MSE(QConfig(preset="accurate", nbit_input=4))
    >>> watcher.update(values)
    >>> low, high = watcher.limits()
    >>> -4 < low < 0 < high < 20  # one value at 40 is not worth steps that large
    True
    """

    passes = 1
    needs_count = False

    def __init__(self, config: QConfig, kind: str = "input", count: int | None = None):
        self._family = grid_family(kind, config)
        self._extremes = Extremes()
        self._exponent = _SMALLEST  # magnitudes are below 2**exponent
        self._counts = np.zeros(2 * HALF, np.int64)

    def update(self, values: Any, pass_number: int = 0) -> None:
        """Count the values."""
        values = flat(values)
        self._extremes.update(values)
        if self._extremes.magnitude:
            self._widen(math.frexp(self._extremes.magnitude)[1])
        per_unit = math.ldexp(HALF, -self._exponent)
        for start in range(0, values.size, _BLOCK):
            # Exact in float64: a power of two times a float32
            bins = np.floor(values[start : start + _BLOCK] * np.float64(per_unit)).astype(np.int64)
            self._counts += np.bincount(bins + HALF, minlength=2 * HALF)

    def _widen(self, exponent: int) -> None:
        if exponent > self._exponent:
            shift = min(exponent - self._exponent, 62)
            merged = np.zeros_like(self._counts)
            np.add.at(merged, (np.arange(-HALF, HALF) >> shift) + HALF, self._counts)
            self._counts, self._exponent = merged, exponent

    def merge(self, other: MSE) -> None:
        """Add the histograms."""
        self._extremes.merge(other._extremes)
        self._widen(other._exponent)
        shift = min(self._exponent - other._exponent, 62)
        np.add.at(self._counts, (np.arange(-HALF, HALF) >> shift) + HALF, other._counts)

    def limits(self) -> tuple[float, float]:
        """Search for the range with the smallest error."""
        edges = np.arange(-HALF, HALF + 1) * math.ldexp(1 / HALF, self._exponent)
        low, high = self._extremes.low, self._extremes.high
        return best_range(self._counts, edges, low, high, self._family)
