"""Percentile: ignore the few largest magnitudes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from ._statistic import Extremes, flat, grid_family

if TYPE_CHECKING:
    from ..config import QConfig

__all__ = ["KEY", "Percentile"]

KEY = "percentile"
_GROUP = 64  # values


class Percentile:
    """The magnitude below which ``config.percentile`` percent of the values lie.

    The element that Relay takes (``relay/quantize/_calibrate.py``): number ``int(count * share)``,
    counted from 0, of the sorted magnitudes; of few values the largest. Only the tail above it is
    kept in memory. An asymmetric grid covers the values of at most this magnitude, and of either
    side no more than there are values: the same share is represented, and a short side is not cut.

    Examples
    --------
    >>> from tvm_book.quantize import QConfig
    >>> watcher = Percentile(QConfig(), count=4)
    >>> watcher.update(np.array([1, -3], "float32"))
    >>> watcher.update(np.array([2, 0], "float32"))
    >>> watcher.limits()
    (-3.0, 3.0)
    """

    passes = 1
    needs_count = True

    def __init__(self, config: QConfig, kind: str = "input", count: int | None = None):
        share = float(Decimal(repr(config.percentile)) / 100)  # 0.99999 for 99.999, to the last bit
        self._symmetric = grid_family(kind, config).symmetric
        self._keep = max(count - int(count * share), 1)
        self._tail = np.empty(0, np.float32)
        self._extremes = Extremes()

    def update(self, values: Any, pass_number: int = 0) -> None:
        """Keep what may still be in the tail."""
        values = flat(values)
        self._extremes.update(values)
        magnitudes = np.abs(values)
        if self._tail.size == self._keep:
            magnitudes = magnitudes[magnitudes > self._tail.min()]
        self._extend(magnitudes)

    def merge(self, other: Percentile) -> None:
        """Keep the larger ones of both tails."""
        self._extremes.merge(other._extremes)
        self._extend(other._tail)

    def _extend(self, magnitudes: np.ndarray) -> None:
        tail = np.concatenate([self._tail, magnitudes])
        self._tail = _largest(tail, self._keep) if tail.size > self._keep else tail

    def limits(self) -> tuple[float, float]:
        """Return the range up to the smallest value of the tail."""
        magnitude = float(self._tail.min())
        return (-magnitude, magnitude) if self._symmetric else self._extremes.clip(magnitude)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the ``count`` largest values, in any order."""
    groups = values.size // _GROUP
    if groups > count:  # the maxima of groups have a bound that rules out nearly all values
        maxima = values[: _GROUP * groups].reshape(_GROUP, groups).max(axis=0)
        bound = np.partition(maxima, groups - count)[groups - count]
        values = values[~(values < bound)]  # what is not a number counts as largest
    return np.partition(values, values.size - count)[values.size - count :].copy()
