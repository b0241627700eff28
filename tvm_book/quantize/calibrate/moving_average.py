"""Moving average: the range of a typical sample, recent samples counting more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..config import QConfig

__all__ = ["KEY", "MovingAverage"]

KEY = "moving_average"
MOMENTUM = 0.9


class MovingAverage:
    """The exponential moving averages of each sample's smallest and largest value.

    ``average = 0.9 * average + 0.1 * sample``, from the first sample on, in the order of the data.
    The average is that of B. Jacob et al., "Quantization and Training of Neural Networks for
    Efficient Integer-Arithmetic-Only Inference", CVPR 2018, section 3.1; 0.9 is the ratio of
    MQBench's ``EMAMinMaxObserver``. Samples are the rows of axis 0. Both numbers of each sample are
    kept, 8 bytes, and averaged at the end: so batches and shards make no difference.

    Examples
    --------
    >>> from tvm_book.quantize import QConfig
    >>> watcher = MovingAverage(QConfig())
    >>> watcher.update(np.array([[-1, 4], [-1, 14]], "float32"))
    >>> watcher.limits()
    (-1.0, 5.0)
    """

    passes = 1
    needs_count = False

    def __init__(self, config: QConfig, kind: str = "input", count: int | None = None):
        self._lows: list[np.ndarray] = []
        self._highs: list[np.ndarray] = []

    def update(self, values: Any, pass_number: int = 0) -> None:
        """Note the extremes of each sample."""
        values = np.asarray(values, np.float32)
        rows = values.reshape(values.shape[0] if values.ndim else 1, -1)
        self._lows.append(rows.min(axis=1))
        self._highs.append(rows.max(axis=1))

    def merge(self, other: MovingAverage) -> None:
        """Append the samples of another one."""
        self._lows += other._lows
        self._highs += other._highs

    def limits(self) -> tuple[float, float]:
        """Return the averages."""
        return min(0.0, _average(self._lows)), max(0.0, _average(self._highs))


def _average(parts: list[np.ndarray]) -> float:
    first, *rest = np.concatenate(parts).tolist()
    average = first
    for value in rest:
        average = MOMENTUM * average + (1 - MOMENTUM) * value
    return average
