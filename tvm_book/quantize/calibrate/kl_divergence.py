"""KL divergence: the threshold whose 255-level histogram looks most like the original one.

The search of Relay (``src/relay/quantize/calibrate.cc`` and ``_kl_divergence.py``), which follows
S. Migacz, "8-bit Inference with TensorRT", GTC 2017. Sums run in float32 and in index order,
because the chosen bin depends on their last bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._statistic import Extremes, flat, grid_family

if TYPE_CHECKING:
    from ..config import QConfig

__all__ = ["KEY", "KLDivergence", "divergences"]

KEY = "kl_divergence"
BINS = 8001
LEVELS = 255
CENTRE = BINS // 2
SMALL = np.float32(1e-4)


class KLDivergence:
    """Two passes: the range first, then the histogram that the threshold is chosen from.

    An asymmetric grid covers the values below the threshold, and no more of either side than there
    are values.

    Examples
    --------
    >>> from tvm_book.quantize import QConfig
    >>> values = np.append(np.random.default_rng(0).standard_normal(5000), 40).astype("float32")
    >>> watcher = KLDivergence(QConfig())
    >>> for number in range(KLDivergence.passes):
    ...     watcher.update(values, number)
    >>> watcher.limits()[1] < 20  # the outlier at 40 is cut off
    True
    """

    passes = 2
    needs_count = False

    def __init__(self, config: QConfig, kind: str = "input", count: int | None = None):
        self._symmetric = grid_family(kind, config).symmetric
        self._extremes = Extremes()
        self._histogram = np.zeros(BINS, np.int64)

    def update(self, values: Any, pass_number: int = 0) -> None:
        """Widen the range (pass 0) or fill the histogram (pass 1)."""
        values = flat(values)
        if pass_number == 0:
            self._extremes.update(values)
        else:
            self._histogram += np.histogram(values, bins=BINS, range=self._range())[0]

    def _range(self) -> tuple[float, float]:
        # Python floats: the edges are then spaced in double precision, as NumPy 1 always did
        return -self._extremes.magnitude, self._extremes.magnitude

    def merge(self, other: KLDivergence) -> None:
        """Add the histograms, or widen the range while there are none.

        Raises
        ------
        ValueError
            If the edges of the histograms differ.
        """
        second_pass = self._histogram.any() or other._histogram.any()
        if second_pass and self._range() != other._range():
            raise ValueError(
                "the second passes of kl_divergence followed different first passes; merge the "
                "shards after the first pass, and give the result to all of them as after="
            )
        self._extremes.merge(other._extremes)
        self._histogram += other._histogram

    def limits(self) -> tuple[float, float]:
        """Return the range up to the upper edge of the window with the smallest divergence."""
        half_width = LEVELS // 2 + int(np.argmin(divergences(self._histogram)))
        edges = np.histogram_bin_edges(np.empty(0, np.float32), BINS, self._range())
        magnitude = float(edges[CENTRE + half_width + 1])
        return (-magnitude, magnitude) if self._symmetric else self._extremes.clip(magnitude)


def divergences(histogram: np.ndarray) -> np.ndarray:
    """Divergence of each window around the centre, narrowest first.

    Parameters
    ----------
    histogram : numpy.ndarray of int, shape (8001,)

    Returns
    -------
    numpy.ndarray of float32, shape (3874,)
        For half widths 127 to 4000; infinite where smoothing is impossible.
    """
    widths = range(LEVELS // 2, CENTRE + 1)
    return np.array([_divergence(histogram, width) for width in widths], np.float32)


def _divergence(histogram: np.ndarray, half_width: int) -> np.float32:
    start, stop = CENTRE - half_width, CENTRE + half_width + 1
    inside = histogram[start:stop]
    reference = inside.astype(np.float32)
    reference[0] = histogram[: start + 1].sum()
    reference[-1] += histogram[stop:].sum()
    candidate = np.where(reference != 0, _merge_and_expand(inside), np.float32(0))
    p, q = _smooth(reference), _smooth(candidate)
    if p is None or q is None:
        return np.float32(np.inf)
    p, q = p / _sequential_sum(p), q / _sequential_sum(q)
    return _sequential_sum(p * np.log((p / q).astype(np.float64)).astype(np.float32))


def _merge_and_expand(inside: np.ndarray) -> np.ndarray:
    """Merge the bins into `LEVELS` groups; each bin gets the mean of its group's filled bins."""
    counts = inside.copy()
    counts[0] = 0
    size = counts.size // LEVELS
    starts = np.arange(LEVELS) * size
    totals = np.add.reduceat(counts, starts).astype(np.float32)
    filled = np.add.reduceat((counts != 0).astype(np.int64), starts).astype(np.float32)
    means = np.divide(totals, filled, out=np.zeros_like(totals), where=filled != 0)
    return np.repeat(means, np.diff(np.append(starts, counts.size)))


def _smooth(distribution: np.ndarray) -> np.ndarray | None:
    """Give empty bins a little, taken evenly from the others; None if they have too little."""
    zeros = distribution == 0
    empty = np.float32(np.count_nonzero(zeros))
    full = np.float32(distribution.size) - empty
    if not full:
        return None
    loss = SMALL * empty / full
    return None if loss >= 1 else np.where(zeros, SMALL, distribution - loss)


def _sequential_sum(values: np.ndarray) -> np.float32:
    return np.cumsum(values, dtype=np.float32)[-1]
