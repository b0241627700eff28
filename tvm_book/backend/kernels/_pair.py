"""64-bit integers as two vectors: those of the even lanes, and those of the odd ones.

A vector of 32-bit sums has twice the lanes of one of 64 bits. Widening the lower and the upper half
moves lanes across the register, and so does narrowing. The even lanes, however, are where a 64-bit
multiplication of 32-bit numbers reads them, the odd ones are there after one shift, and after a
shift by 32 or more bits both fit back between each other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from ._kernel import vector

__all__ = ["HALF", "Pair", "join", "spread", "widen"]

Expr = Any
HALF = 32  # bits; a number shifted right by as many fits into that many


class Pair(NamedTuple):
    """Numbers of 64 bits in lanes 0, 2, 4 … and 1, 3, 5 … of a vector."""

    even: Expr
    odd: Expr

    def each(self, function: Any, other: Pair) -> Pair:
        """Apply an operator to both parts."""
        return Pair(T.bind(function(self.even, other.even)), T.bind(function(self.odd, other.odd)))


def widen(value: Expr, lanes: int) -> Pair:
    """Return a vector of int32 as numbers of 64 bits."""
    half = lanes // 2
    words = T.bind(T.reinterpret(vector("int64", half), value))
    even = T.cast(T.cast(words, vector("int32", half)), vector("int64", half))
    return Pair(T.bind(even), T.bind(T.shift_right(words, _splat(HALF, lanes))))


def spread(value: Expr, lanes: int) -> Pair:
    """Return one number of 64 bits in all lanes."""
    both = T.bind(T.broadcast(value, lanes // 2))
    return Pair(both, both)


def join(pair: Pair, shift: int, lanes: int) -> Expr:
    """Return ``pair >> shift`` as a vector of int32, for shifts by `HALF` bits or more."""
    low = tirx.const(2**HALF - 1, "int64")
    even = T.shift_right(pair.even, _splat(shift, lanes))
    odd = T.shift_right(pair.odd, _splat(shift - HALF, lanes))
    mask = T.broadcast(low, lanes // 2)
    words = T.bitwise_or(T.bitwise_and(even, mask), T.bitwise_and(odd, T.bitwise_not(mask)))
    return T.reinterpret(vector("int32", lanes), words)


def _splat(value: int, lanes: int) -> Expr:
    return T.broadcast(tirx.const(value, "int64"), lanes // 2)
