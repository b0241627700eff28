"""Compare what two arrays of class scores predict."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tvm_book.testing import _stream
from tvm_book.testing._arrays import pair


def top_k_agreement(a: Any, b: Any, k: int = 1) -> float:
    """Share of the `k` best classes that two arrays of scores have in common.

    For each row the `k` highest classes of `a` and of `b` are two sets; the result is the mean,
    over all rows, of the size of their intersection divided by `k`. With ``k=1`` that is the share
    of equal predictions. The order within the `k` does not matter.

    Parameters
    ----------
    a, b : array_like
        Scores of the same shape ``(..., classes)``, any real dtype.
    k : int
        From 1 to `classes`.

    Returns
    -------
    float
        In [0, 1]. Among equal scores the lower class index is taken first, as by `numpy.argmax`.
        Infinite scores are ordered as usual; NaN if any score is NaN.

    Raises
    ------
    ValueError
        If `k` is out of range or the scores have no axis; and where all metrics raise it.
    TypeError
        If `k` is not an integer; and where all metrics raise it.

    Notes
    -----
    Works on a block of rows at a time, and holds at least one whole row in float64.

    Examples
    --------
    >>> top_k_agreement([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], [[1, 9, 2], [3, 5, 1]])
    0.5
    >>> top_k_agreement([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], [[1, 9, 2], [3, 5, 1]], k=2)
    1.0
    """
    x, y = pair(a, b)
    if x.array.ndim == 0:
        raise ValueError("scores need a last axis of classes: got two single numbers")
    *lead, classes = np.atleast_2d(x.array).shape
    if not isinstance(k, (int, np.integer)):
        raise TypeError(f"k counts classes: give an integer, not {k!r}")
    if not 1 <= k <= classes:
        raise ValueError(f"k={k} is out of range: give 1 to {classes}, the length of the last axis")
    rows, step = math.prod(lead), max(1, _stream.PIECE // classes)
    common = 0
    for start in range(0, rows, step):
        block = np.unravel_index(np.arange(start, min(start + step, rows)), lead)
        left, right = (s.decode(np.atleast_2d(s.array)[block]) for s in (x, y))
        if np.isnan(left).any() or np.isnan(right).any():
            return math.nan
        common += int(np.count_nonzero(_top_k(left, k) & _top_k(right, k)))
    return common / (rows * k)


def _top_k(rows: np.ndarray, k: int) -> np.ndarray:
    """Mask of the `k` highest of each row; lower index first among equal ones."""
    lowest = np.partition(rows, -k, axis=1)[:, -k, None]
    above, equal = rows > lowest, rows == lowest
    room = k - above.sum(axis=1, keepdims=True)
    return above | (equal & (equal.cumsum(axis=1) <= room))
