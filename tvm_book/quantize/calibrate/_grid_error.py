"""How much a grid changes the values of a histogram, and the range for which that is least."""

from __future__ import annotations

import numpy as np

from ._statistic import GridFamily

__all__ = ["best_range", "squared_errors"]

_CHUNK = 1 << 15  # numbers at a time, so that what is computed on the way stays in the cache


def squared_errors(
    counts: np.ndarray, edges: np.ndarray, lows: np.ndarray, highs: np.ndarray, family: GridFamily
) -> np.ndarray:
    """Sum the squared errors that rounding and cutting off make, for each of several ranges.

    Values are taken to be spread evenly inside their bin. If s is the step of the grid, and k the
    number of its point that is nearest to t, the squared error integrated from 0 to t is
    ``k * s**3 / 12 + (t - k * s)**3 / 3``; beyond the ends of the grid, too.

    Parameters
    ----------
    counts : numpy.ndarray, shape (n,)
    edges : numpy.ndarray of float64, shape (n + 1,)
    lows, highs : numpy.ndarray of float64, shape (m,)
        ``low <= 0 <= high``, not both 0.
    family : GridFamily

    Returns
    -------
    numpy.ndarray of float64, shape (m,)

    Examples
    --------
    All values between 0 and 8, in steps of 1: the error is 1 / 12 a value.

    >>> family = GridFamily(symmetric=False, steps=8, divisor=8)
    >>> squared_errors(np.array([6]), np.array([0.0, 8.0]), np.zeros(1), np.full(1, 8.0), family)
    array([0.5])
    """
    density = counts / np.diff(edges)
    steps_down = -np.diff(density, prepend=0.0, append=0.0)
    scales, first, last = _grids(lows, highs, family)
    errors = np.empty(scales.size)
    chunk = max(_CHUNK // edges.size, 1)
    for start in range(0, scales.size, chunk):
        part = slice(start, start + chunk)
        rest = edges / scales[part, None]
        k = np.clip(np.rint(rest), first[part, None], last[part, None])
        rest -= k
        k += 4 * rest * rest * rest
        errors[part] = scales[part] ** 3 / 12 * (k @ steps_down)
    return errors


def _grids(lows: np.ndarray, highs: np.ndarray, family: GridFamily) -> tuple[np.ndarray, ...]:
    """Scale, first and last step of the grid that each range leads to."""
    if family.symmetric:
        scales = np.maximum(-lows, highs) / family.divisor
        last = np.full(scales.shape, float(family.steps))
        return scales, -last, last
    scales = (highs - lows) / family.divisor
    first = np.clip(np.rint(lows / scales), -family.steps, 0)
    return scales, first, first + family.steps


def best_range(
    counts: np.ndarray, edges: np.ndarray, low: float, high: float, family: GridFamily
) -> tuple[float, float]:
    """Search for the range with the smallest sum of squared errors, from coarse to fine.

    Parameters
    ----------
    counts : numpy.ndarray of int, shape (n,)
        ``n`` is a multiple of 16.
    edges : numpy.ndarray of float64, shape (n + 1,)
        Evenly spaced.
    low, high : float
        Of the values and zero: never more is covered.
    family : GridFamily

    Returns
    -------
    low, high : float
        Ends of the grid; for a symmetric one the range that leads to it.
    """
    if low == high:
        return low, high
    if family.symmetric:
        low, high = -max(-low, high), max(-low, high)
    tied = family.symmetric or not low or not high
    share = np.ones(2)  # of the range, on either side
    for bins, ratio, down, up in _ROUNDS:
        powers = ratio ** np.arange(up, -down - 1, -1.0)  # wide ranges first: they win a tie
        pairs = [powers, powers] if tied else np.meshgrid(powers, powers)
        shares = np.stack([np.minimum(s * p.ravel(), 1) for s, p in zip(share, pairs, strict=True)])
        histogram = _merge_bins(counts, edges, bins, low, high)
        errors = squared_errors(*histogram, shares[0] * low, shares[1] * high, family)
        share = shares[:, np.argmin(errors)]
    low, high = share[0] * low, share[1] * high
    if family.symmetric:
        return float(low), float(high)
    (scale,), (first,), (last,) = _grids(np.array([low]), np.array([high]), family)
    return float(first * scale) + 0.0, float(last * scale)  # adding zero: never -0.0


# How many bins become one; the ratio from one candidate to the next; how many down and up. The sum
# of the errors is nearly convex in both ends, so the finer rounds look around the best so far.
_ROUNDS = (
    (16, 2 ** (1 / 2), 16, 0),
    (4, 2 ** (1 / 6), 3, 3),
    (1, 2 ** (1 / 20), 2, 2),
    (1, 2 ** (1 / 60), 1, 1),
)


def _merge_bins(
    counts: np.ndarray, edges: np.ndarray, number: int, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sum ``number`` bins each, drop empty ones at the ends, and end where the values do."""
    counts, edges = counts.reshape(-1, number).sum(axis=1), edges[::number]
    first, last = np.flatnonzero(counts)[[0, -1]]
    counts, edges = counts[first : last + 1], edges[first : last + 2].copy()
    least = (edges[1] - edges[0]) / 1024  # of a bin that would end where it begins
    edges[0] = min(max(edges[0], low), edges[1] - least)
    edges[-1] = max(min(edges[-1], high), edges[-2] + least)
    return counts, edges
