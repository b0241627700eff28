"""Sums over two arrays of any size, in float64, without a float64 copy of either.

NumPy's buffered iterator casts a small piece at a time, whatever the strides and dtypes. Sums are
kept as ``value * 2**exponent``: scaling by a power of two rounds nothing, and squares of very large
or very small elements neither overflow nor vanish.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tvm_book.testing._arrays import Source

PIECE = 1 << 16
"""Elements held in float64 at a time, for each of the two arrays."""

_SAFE = 2.0**200
"""Squares, and products of two sums of squares, of numbers up to here stay far from overflow."""

quiet = np.errstate(over="ignore", under="ignore", invalid="ignore")
"""NaN and infinity are answers of a metric, not events to warn about."""


def pieces(x: Source, y: Source) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield matching flat float64 pieces in C order; a piece is valid until the next one."""
    walk = np.nditer(
        [x.array, y.array],
        flags=["external_loop", "buffered"],
        op_flags=[["readonly"], ["readonly"]],
        op_dtypes=[x.piece_dtype, y.piece_dtype],
        casting="same_kind",
        order="C",
        buffersize=PIECE,
    )
    for left, right in walk:
        yield x.decode(left), y.decode(right)


@quiet
def difference(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, int]:
    """``(d, e)`` with ``left - right == d * 2**e``, also where the plain difference overflows."""
    plain = left - right
    if np.isinf(plain).any():
        return left / 2 - right / 2, 1
    return plain, 0


@quiet
def rescale(piece: np.ndarray) -> tuple[np.ndarray, int]:
    """``(p, e)`` with ``piece == p * 2**e``, and the largest of `p` safe to square."""
    peak = max(-float(piece.min()), float(piece.max()))
    if peak == 0 or not math.isfinite(peak) or 1 / _SAFE <= peak <= _SAFE:
        return piece, 0
    exponent = math.frexp(peak)[1]
    return np.ldexp(piece, -exponent), exponent


@quiet
def product(left: np.ndarray, right: np.ndarray) -> float:
    """Sum of products; pairwise summation, so that equal arguments give equal bits."""
    return float(np.sum(left * right))


def total(parts: list[tuple[float, int]]) -> tuple[float, int]:
    """Add numbers given as ``(value, exponent)``, exactly rounded, in the same form."""
    values = [value for value, _ in parts]
    if not all(map(math.isfinite, values)):  # fsum refuses inf - inf
        return sum(values), 0
    top = max((exponent for value, exponent in parts if value), default=0)
    return math.fsum(math.ldexp(value, exponent - top) for value, exponent in parts), top


def squares(x: Source) -> tuple[float, int]:
    """Sum of squared elements as ``(value, even exponent)``."""
    parts = []
    for piece, _ in pieces(x, x):
        piece, exponent = rescale(piece)
        parts.append((product(piece, piece), 2 * exponent))
    return total(parts)


def squared_error(x: Source, y: Source) -> tuple[float, int]:
    """Sum of squared differences as ``(value, even exponent)``."""
    parts = []
    for left, right in pieces(x, y):
        error, halved = difference(left, right)
        error, exponent = rescale(error)
        parts.append((product(error, error), 2 * (exponent + halved)))
    return total(parts)


@quiet
def squared_differences(x: Source, y: Source) -> np.ndarray:
    """Every squared difference, in the shape of the sources."""
    result = np.empty(x.array.shape, np.float64)
    flat, done = result.reshape(-1), 0
    for left, right in pieces(x, y):
        np.square(left - right, out=flat[done : done + left.size])
        done += left.size
    return result


def power_of_two(value: float, exponent: int) -> float:
    """``value * 2**exponent``, infinite where float64 ends."""
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.copysign(math.inf, value)
