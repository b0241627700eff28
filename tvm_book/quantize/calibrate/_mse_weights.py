"""The magnitude of a weight's symmetric grid for which the weight changes least."""

from __future__ import annotations

import numpy as np

__all__ = ["mse_magnitudes"]

_BLOCK = 1 << 15  # weights at a time, so that what is computed on the way stays in the cache
_OCTAVES = 3  # magnitudes from the largest weight down to an eighth of it are tried


def mse_magnitudes(weights: np.ndarray, nbit: int, divisor: int | None = None) -> np.ndarray:
    """Return for each channel the magnitude that minimizes the squared error of its weights.

    The errors are those of the weights themselves, not of a histogram. They have many local minima
    where there are few weights, so the search is finer there.

    Parameters
    ----------
    weights : numpy.ndarray of float32, shape (channels, n)
    nbit : int
        The grid has the numbers ``k * magnitude / divisor``, ``abs(k) < 2 ** (nbit - 1)``.
    divisor : int, optional
        By default ``2 ** (nbit - 1) - 1``, so that the magnitude itself is on the grid.

    Returns
    -------
    numpy.ndarray of float64, shape (channels,)
        Never worse than the largest absolute weight.

    Examples
    --------
    The best end for these weights is their mean:

    >>> weights = np.array([[7, 7, 7, 7.2], [0, 0, 0, 0]], "float32")
    >>> mse_magnitudes(weights, nbit=4).round(2)
    array([7.05, 0.  ])
    """
    steps = (1 << (nbit - 1)) - 1
    divisor = steps if divisor is None else divisor
    largest = np.abs(weights).max(axis=1, initial=0.0).astype(np.float64)
    shares = np.ones(len(weights))
    rows = max(_BLOCK // max(weights.shape[1], 1), 1)
    for start in range(0, len(weights), rows):
        part = slice(start, start + rows)
        scale = np.where(largest[part] > 0, largest[part], 1)[:, None]
        shares[part] = _best_shares(weights[part] / scale, steps, divisor)
    return shares * largest


def _best_shares(weights: np.ndarray, steps: int, divisor: int) -> np.ndarray:
    """Search, for rows with the largest magnitude 1, where the grid should end."""
    single = weights.astype(np.float32)
    per_octave = int(np.clip((1 << 15) // max(weights.shape[1], 1), 16, 256))
    shares, errors = np.ones(len(weights)), np.full(len(weights), np.inf)
    rounds = [(per_octave, range(0, -_OCTAVES * per_octave - 1, -1))]
    rounds += [(finer * per_octave, (-3, -2, -1, 1, 2, 3)) for finer in (4, 16)]
    for parts, powers in rounds:
        centres = shares
        for power in powers:
            candidates = np.minimum(centres * 2.0 ** (power / parts), 1.0)
            found = _errors(single, (candidates / divisor).astype(np.float32), steps)
            if power < -3 and (found > 4 * errors).all():
                break  # cutting off still more only adds to the errors
            better = found < errors
            shares, errors = np.where(better, candidates, shares), np.where(better, found, errors)
    ones = np.ones(len(weights))
    worse = _errors(weights, shares / divisor, steps) >= _errors(weights, ones / divisor, steps)
    return np.where(worse, 1.0, shares)


def _errors(weights: np.ndarray, scales: np.ndarray, steps: int) -> np.ndarray:
    """Sum the squared errors of each row, in the dtype of the weights."""
    k = np.rint(weights * (1 / scales)[:, None])
    np.clip(k, -steps, steps, out=k)
    k *= scales[:, None]
    k -= weights
    return np.einsum("ij,ij->i", k, k)
