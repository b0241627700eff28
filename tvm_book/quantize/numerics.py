"""The arithmetic of quantization in NumPy, exact: what constants are folded with.

Formulas of ``round_half_away`` and ``fixed_point_multiply`` follow TVM's
``src/relay/qnn/utils.cc``, those of ``quantize_array`` ``src/relay/quantize/realize.cc``.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["fixed_point", "fixed_point_multiply", "quantize_array", "round_half_away"]


def round_half_away(x: np.ndarray) -> np.ndarray:
    """Round to the nearest integer, ties away from zero; dtype and shape are kept.

    Examples
    --------
    >>> round_half_away(np.array([0.5, 1.5, -2.5, 0.49999997], "float32"))
    array([ 1.,  2., -3.,  0.], dtype=float32)
    """
    whole = np.trunc(x)
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        fraction = np.abs(x - whole)  # exact in binary floating point
    return whole + np.where(fraction >= 0.5, np.sign(x), 0).astype(x.dtype)


def quantize_array(x: np.ndarray, scale: float, low: float, high: float) -> np.ndarray:
    """``clip(round(x * (1 / scale)), low, high)`` in float32, as the realized graph computes it.

    Parameters
    ----------
    x : numpy.ndarray of float32
    scale : float
        Size of one step of the grid, in units of ``x``.
    low, high : float
        Ends of the grid in steps, such as -127 and 127.

    Returns
    -------
    numpy.ndarray of float32
        Whole numbers, in the shape of ``x``.

    Examples
    --------
    >>> quantize_array(np.array([0.03, 0.04, -9.0], "float32"), 1 / 16, -127, 127)
    array([   0.,    1., -127.], dtype=float32)
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        steps = round_half_away(x * (np.float32(1) / np.float32(scale)))
    return np.clip(steps, np.float32(low), np.float32(high))


def fixed_point(factor: float) -> tuple[int, int]:
    """Write ``factor`` as ``multiplier * 2**(exponent - 31)`` with a 31-bit multiplier.

    Returns
    -------
    multiplier, exponent : int

    Examples
    --------
    >>> fixed_point(0.75)
    (1610612736, 0)
    >>> fixed_point(3.0)
    (1610612736, 2)
    """
    mantissa, exponent = math.frexp(factor)
    multiplier = math.floor(mantissa * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier, exponent = multiplier >> 1, exponent + 1
    return multiplier, exponent


def fixed_point_multiply(x: np.ndarray, factor: float, rounding: str = "UPWARD") -> np.ndarray:
    """Multiply integers by a positive ``factor`` with a multiplication and a shift.

    Parameters
    ----------
    x : numpy.ndarray of an integer dtype
        Values that 32 bits hold.
    factor : float
    rounding : str
        ``"UPWARD"``: ties towards plus infinity; ``"TONEAREST"``: away from zero.

    Returns
    -------
    numpy.ndarray of int32
        Truncated to 32 bits, as in Relay.

    Examples
    --------
    >>> x = np.array([-6, -2, 2, 6])
    >>> fixed_point_multiply(x, 0.25).tolist()
    [-1, 0, 1, 2]
    >>> fixed_point_multiply(x, 0.25, "TONEAREST").tolist()
    [-2, -1, 1, 2]
    """
    multiplier, exponent = fixed_point(factor)
    if exponent < -32:  # less than half of the last bit, whatever the integer
        return np.zeros(x.shape, np.int32)
    left, right = max(exponent, 0), 31 + max(-exponent, 0)
    product = (x.astype(np.int64) << left) * np.int64(multiplier)
    half = np.int64(1) << np.int64(right - 1)
    if rounding == "TONEAREST":
        half = half - (product < 0)
    return ((product + half) >> np.int64(right)).astype(np.int32)
