"""Round a value to a grid: the one place where integers lose precision.

The value of `Affine` terms is ``sum(s_i * (x_i - z_i)) + offset``; on a grid of step ``s`` and zero
point ``z`` that is ``sum(m_i * x_i) + c`` with ``m_i = s_i / s`` and
``c = z + offset / s - sum(m_i * z_i)``. Two forms are emitted for it, both of ordinary operators:

* ``"fixed_point"``: ``clip((sum(x_i * M_i) + C) >> n)`` in int64, where ``M_i = round(m_i * 2**n)``
  and ``C = round(c * 2**n) + 2**(n - 1)``; ties are rounded up.
* ``"float"``: ``clip(round(sum(x_i * m_i) + c))`` in float32; ties are rounded to even.

After B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018, section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...realize import Realize
from .values import Affine, Concat, Function, StorageGrid, Term

__all__ = ["fixed_point_multipliers", "round_to_grid"]

MOST_BITS = 61  # of a sum in int64, one for the rounding constant and one for the sign spared


def round_to_grid(r: Realize, value: Any, grid: StorageGrid) -> Affine:
    """Return the value as one narrow tensor on ``grid``.

    Parameters
    ----------
    r : Realize
    value : Affine, Function, Concat or tvm.relax.Expr
        An expression is float.
    grid : StorageGrid

    Returns
    -------
    Affine
    """
    if isinstance(value, Concat):
        parts = [round_to_grid(r, field, grid).terms[0].expr for field in value.fields]
        data = r.arith.concat(parts, value.axis)
    elif isinstance(value, Function):
        data = value.look_up(r.arith, quantize_values(value.values, grid))
    elif isinstance(value, Affine):
        data = _requantize(r, value, grid)
    else:
        data = r.arith.quantize(value, grid.scale, grid.zero_point, grid.low, grid.high, grid.dtype)
    return Affine((Term(data, grid.scale, np.asarray(grid.zero_point)),))


def quantize_values(values: np.ndarray, grid: StorageGrid) -> np.ndarray:
    """Round real numbers to a grid, ties to even.

    Examples
    --------
    >>> quantize_values(np.array([-1.0, 0.25, 9.0]), StorageGrid(np.float64(0.5), 0, -2, 7))
    array([-2,  0,  7], dtype=int8)
    """
    steps = np.rint(values.astype(np.float64) / grid.scale) + grid.zero_point
    return np.clip(steps, grid.low, grid.high).astype(grid.dtype)


def _requantize(r: Realize, value: Affine, grid: StorageGrid):
    low, high = _limits(value, grid)
    multipliers = [term.scale / grid.scale for term in value.terms]
    constant = grid.zero_point + value.offset / grid.scale
    for term, multiplier in zip(value.terms, multipliers, strict=True):
        constant = constant - multiplier * term.zero_point
    if _is_copy(value, multipliers, constant, grid):
        narrower = (low, high) != (-128, 127)
        return r.arith.clip(value.terms[0].expr, low, high) if narrower else value.terms[0].expr
    if r.config.requantize == "float":
        total = _weighted_sum(r, value.terms, multipliers, "float32")
        total = r.arith.round_half_even(r.arith.add(total, constant))
    else:
        numbers, constant, shift = fixed_point_multipliers(multipliers, constant)
        total = _weighted_sum(r, value.terms, numbers, "int64")
        total = r.arith.right_shift(r.arith.add(total, constant), shift)
    return r.arith.cast(r.arith.clip(total, low, high), grid.dtype)


def _is_copy(value: Affine, multipliers: Sequence[np.ndarray], constant, grid: StorageGrid) -> bool:
    same = len(multipliers) == 1 and multipliers[0].size == 1 and float(multipliers[0]) == 1.0
    return same and not np.any(constant) and value.terms[0].dtype == grid.dtype == "int8"


def _limits(value: Affine, grid: StorageGrid) -> tuple[int, int]:
    """Return the ends of the grid, drawn in to where the value's own limits lie."""

    def stored(limit: float, end: int) -> int:
        if math.isinf(limit):
            return end
        return min(max(round(limit / float(grid.scale)) + grid.zero_point, grid.low), grid.high)

    return stored(value.low, grid.low), stored(value.high, grid.high)


def _weighted_sum(r: Realize, terms: Sequence[Term], numbers: Sequence[np.ndarray], dtype: str):
    total = None
    for term, number in zip(terms, numbers, strict=True):
        part = r.arith.multiply(r.arith.cast(term.expr, dtype), squeezed(number))
        total = part if total is None else r.arith.add(total, part)
    return total


def squeezed(number: np.ndarray) -> np.ndarray:
    """Drop leading axes of extent 1: what broadcasts the same is printed shorter."""
    number = np.asarray(number)
    if number.size == 1:
        return number.reshape(())
    while number.ndim and number.shape[0] == 1:
        number = number[0]
    return number


def fixed_point_multipliers(
    multipliers: Sequence[np.ndarray], constant: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray, int]:
    """Write multipliers and a constant as integers over one power of two.

    Parameters
    ----------
    multipliers : sequence of numpy.ndarray of float64
        One array a term, of terms that 32 bits hold.
    constant : numpy.ndarray of float64

    Returns
    -------
    numbers : list of numpy.ndarray of int64
        ``round(m * 2**shift)``, below 2**30 divided by the number of terms.
    constant : numpy.ndarray of int64
        ``round(constant * 2**shift) + 2**(shift - 1)``, so that shifting right rounds.
    shift : int
        At least 1; as large as the sum of the products in int64 allows.

    Examples
    --------
    >>> numbers, constant, shift = fixed_point_multipliers([np.float64(0.3)], np.float64(-128))
    >>> x = np.int64(1000)
    >>> int((x * numbers[0] + constant) >> shift), round(1000 * 0.3 - 128)
    (172, 172)
    """
    largest = max(float(np.max(np.abs(m))) for m in multipliers)
    bits = 30 - math.ceil(math.log2(len(multipliers)))
    shift = bits - (math.frexp(largest)[1] if largest else 0)
    reach = float(np.max(np.abs(constant)))
    shift = max(1, min(shift, MOST_BITS - math.ceil(math.log2(reach + 1))))
    most = 2.0**bits
    numbers = [
        np.rint(np.clip(np.ldexp(m, shift), -most, most)).astype(np.int64) for m in multipliers
    ]
    bound = 2.0**MOST_BITS
    scaled = np.clip(np.ldexp(np.asarray(constant, np.float64), shift), -bound, bound)
    return numbers, np.rint(scaled).astype(np.int64) + (1 << (shift - 1)), shift
