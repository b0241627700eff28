"""How far is one array from another? Numbers for verifying a quantized model.

All functions share these rules.

- **Input:** NumPy, torch and TVM arrays, nested lists, plain numbers; bool, integer, float16,
  bfloat16, float8, float32, float64; any strides; on a device or with gradients. Complex numbers
  and objects raise `TypeError`. Inputs are never changed.
- **Arithmetic:** float64, so that int8 never wraps round (integers beyond 2**53 are rounded), on a
  piece of the arrays at a time: no float64 copy of a whole array is made. Sums are scaled by powers
  of two: a ratio is right for elements of any size, and a result that float64 cannot hold is
  ``inf``, not an error.
- **Shapes:** equal, or `ValueError`; nothing broadcasts. Empty arrays raise `ValueError`.
- **NaN and infinity:** NaN in either array gives NaN. Infinities follow IEEE 754 (``inf - inf`` is
  NaN) unless a function says otherwise. No warning is printed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tvm_book.testing import _stream
from tvm_book.testing._arrays import pair
from tvm_book.testing._ranking import top_k_agreement

__all__ = [
    "cosine_similarity",
    "l2_loss",
    "max_abs_error",
    "mean_abs_error",
    "relative_l2",
    "sqnr_db",
    "top_k_agreement",
]


def cosine_similarity(a: Any, b: Any) -> float:
    """Cosine of the angle between two arrays, each read as one long vector.

    Computes ``sum(a * b) / (norm(a) * norm(b))``, the textbook definition.

    Parameters
    ----------
    a, b : array_like
        Arrays of the same shape, any real dtype.

    Returns
    -------
    float
        In [-1, 1]; exactly 1.0 for equal non-zero arrays. Two zero arrays agree: 1.0. One zero
        array and one other share no direction: 0.0. NaN if any element is NaN or infinite.

    Raises
    ------
    ValueError, TypeError
        As the rules at the head of this module say.

    Examples
    --------
    >>> cosine_similarity([3, 4], [6, 8])
    1.0
    >>> cosine_similarity([1, 0], [0, 5])
    0.0
    """
    products, squares_a, squares_b = [], [], []
    for left, right in _stream.pieces(*pair(a, b)):
        (left, e), (right, f) = _stream.rescale(left), _stream.rescale(right)
        products.append((_stream.product(left, right), e + f))
        squares_a.append((_stream.product(left, left), 2 * e))
        squares_b.append((_stream.product(right, right), 2 * f))
    dot, dot_exponent = _stream.total(products)
    aa, a_exponent = _stream.total(squares_a)
    bb, b_exponent = _stream.total(squares_b)
    if not (math.isfinite(aa) and math.isfinite(bb)):
        return math.nan
    if aa == 0 or bb == 0:
        return 1.0 if aa == bb else 0.0
    # One root of the product, not a product of roots: sqrt(x * x) == x, so equal arrays give 1.0.
    cosine = math.ldexp(dot / math.sqrt(aa * bb), dot_exponent - (a_exponent + b_exponent) // 2)
    return min(1.0, max(-1.0, cosine))


def l2_loss(a: Any, b: Any, reduction: str = "mean") -> float | np.ndarray:
    """Squared error, as :func:`torch.nn.functional.mse_loss` defines it.

    Parameters
    ----------
    a, b : array_like
        Arrays of the same shape, any real dtype.
    reduction : {"mean", "sum", "none"}
        What to do with the squares: average them, add them, or return them all.

    Returns
    -------
    float or numpy.ndarray
        A float for "mean" and "sum"; for "none" a float64 array of the inputs' shape.

    Raises
    ------
    ValueError
        If `reduction` is unknown; and, like `TypeError`, as the rules of this module say.

    Examples
    --------
    >>> l2_loss([1, 2, 3], [1, 2, 6])
    3.0
    >>> l2_loss([1, 2, 3], [1, 2, 6], reduction="none")
    array([0., 0., 9.])
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"unknown reduction {reduction!r}: choose 'mean', 'sum' or 'none'")
    x, y = pair(a, b)
    if reduction == "none":
        return _stream.squared_differences(x, y)
    value, exponent = _stream.squared_error(x, y)
    return _stream.power_of_two(value / x.array.size if reduction == "mean" else value, exponent)


def max_abs_error(a: Any, b: Any) -> float:
    """Largest distance of two elements, ``max(abs(a - b))``.

    Parameters
    ----------
    a, b : array_like
        Arrays of the same shape, any real dtype.

    Returns
    -------
    float
        Not negative, in the unit of the elements.

    Raises
    ------
    ValueError, TypeError
        As the rules at the head of this module say.

    Examples
    --------
    >>> max_abs_error(np.int8([127, 0]), np.int8([-128, 1]))
    255.0
    """
    peaks = []
    for left, right in _stream.pieces(*pair(a, b)):
        error, exponent = _stream.difference(left, right)
        peaks.append(_stream.power_of_two(float(np.abs(error).max()), exponent))
    return float(np.max(peaks))  # np.max keeps a NaN, max() may lose it


def mean_abs_error(a: Any, b: Any) -> float:
    """Average distance of two elements, ``mean(abs(a - b))``.

    Parameters
    ----------
    a, b : array_like
        Arrays of the same shape, any real dtype.

    Returns
    -------
    float
        Not negative, in the unit of the elements.

    Raises
    ------
    ValueError, TypeError
        As the rules at the head of this module say.

    Examples
    --------
    >>> mean_abs_error([1, 2, 3], [1, 2, 6])
    1.0
    """
    x, y = pair(a, b)
    parts = []
    for left, right in _stream.pieces(x, y):
        error, halved = _stream.difference(left, right)
        error, exponent = _stream.rescale(np.abs(error))
        parts.append((float(np.sum(error)), exponent + halved))
    value, exponent = _stream.total(parts)
    return _stream.power_of_two(value / x.array.size, exponent)


def relative_l2(ref: Any, test: Any) -> float:
    """Size of the error relative to the reference, ``norm(ref - test) / norm(ref)``.

    Parameters
    ----------
    ref, test : array_like
        What is right, and what is measured: arrays of the same shape, any real dtype.

    Returns
    -------
    float
        Not negative, no unit. Equal arrays give 0.0, zeros included; a zero reference with any
        other test array gives ``inf``.

    Raises
    ------
    ValueError, TypeError
        As the rules at the head of this module say.

    Examples
    --------
    >>> relative_l2([3, 4], [3, 3])
    0.2
    """
    ratio, exponent = _noise_to_signal(ref, test)
    return _stream.power_of_two(math.sqrt(ratio), exponent // 2)


def sqnr_db(ref: Any, test: Any) -> float:
    """Signal to quantization noise ratio in decibels.

    Computes ``10 * log10(sum(ref**2) / sum((ref - test)**2))``, the usual definition in signal
    processing: more is better, and one more bit of a quantizer is worth about 6 dB.

    Parameters
    ----------
    ref, test : array_like
        What is right, and what is measured: arrays of the same shape, any real dtype.

    Returns
    -------
    float
        In dB. Equal arrays give ``inf``, zeros included; a zero reference with any other test
        array gives ``-inf``.

    Raises
    ------
    ValueError, TypeError
        As the rules at the head of this module say.

    Examples
    --------
    >>> round(sqnr_db([10, 0], [9, 0]), 9)
    20.0
    """
    ratio, exponent = _noise_to_signal(ref, test)
    if ratio == 0:
        return math.inf
    return 0.0 - 10 * (math.log10(ratio) + exponent * math.log10(2))  # and never -0.0


def _noise_to_signal(ref: Any, test: Any) -> tuple[float, int]:
    """``sum((ref - test)**2) / sum(ref**2)`` as ``(value, even exponent)``; 0 where equal."""
    x, y = pair(ref, test)
    noise, noise_exponent = _stream.squared_error(x, y)
    signal, signal_exponent = _stream.squares(x)
    if signal == 0:
        return (math.inf if noise > 0 else noise), 0
    return noise / signal, noise_exponent - signal_exponent
