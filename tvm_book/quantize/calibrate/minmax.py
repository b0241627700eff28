"""Min/max: the range of all values that were seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._statistic import Extremes, flat

if TYPE_CHECKING:
    from ..config import QConfig

__all__ = ["KEY", "MinMax"]

KEY = "minmax"


class MinMax:
    """Nothing is cut off, so one outlier makes every step larger.

    Examples
    --------
    >>> import numpy as np
    >>> from tvm_book.quantize import QConfig
    >>> watcher = MinMax(QConfig())
    >>> watcher.update(np.array([[1, -2], [7, 0]], "float32"))
    >>> watcher.limits()
    (-2.0, 7.0)
    """

    passes = 1
    needs_count = False

    def __init__(self, config: QConfig, kind: str = "input", count: int | None = None):
        self._extremes = Extremes()

    def update(self, values: Any, pass_number: int = 0) -> None:
        """Widen the range."""
        self._extremes.update(flat(values))

    def merge(self, other: MinMax) -> None:
        """Widen the range."""
        self._extremes.merge(other._extremes)

    def limits(self) -> tuple[float, float]:
        """Return the range."""
        return self._extremes.low, self._extremes.high
