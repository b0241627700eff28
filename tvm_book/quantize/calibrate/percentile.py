"""Percentile: ignore the largest one in a hundred thousand magnitudes."""

from __future__ import annotations

import numpy as np

__all__ = ["Percentile"]

SHARE = 0.99999


class Percentile:
    """The magnitude below which 99.999 % of the values lie; of few values the largest.

    The element that Relay takes: number ``int(count * 0.99999)``, counted from 0, of the sorted
    magnitudes (``relay/quantize/_calibrate.py``). Only the tail above it is kept in memory.

    Examples
    --------
    >>> watcher = Percentile(count=4)
    >>> watcher.update(np.array([1, -3], "float32"), 0)
    >>> watcher.update(np.array([2, 0], "float32"), 0)
    >>> watcher.magnitude()
    3.0
    """

    passes = 1

    def __init__(self, count: int):
        self._keep = count - int(count * SHARE)
        self._tail = np.empty(0, np.float32)

    def update(self, values: np.ndarray, pass_number: int) -> None:
        """Keep what may still be in the tail."""
        tail = np.concatenate([self._tail, np.abs(values)])
        if tail.size > self._keep:
            tail = np.partition(tail, tail.size - self._keep)[-self._keep :]
        self._tail = tail

    def magnitude(self) -> float:
        """Return the smallest value of the tail."""
        return float(self._tail.min())
