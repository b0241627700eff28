"""Bytes multiplied as pairs of 16-bit integers: what CPUs without products of bytes can do.

Four activations are one 32-bit word, broadcast to all lanes. As 16-bit lanes, its low bytes are the
elements 0 and 2 and its high bytes 1 and 3, so a mask and a shift widen them in place. Weights are
stored as 16-bit integers, the elements 0 and 2 of all lanes before 1 and 3. A sum of two products
of an unsigned and a signed byte, at most 2 * 255 * 128, does not overflow.

Words are read with the lowest address in the lowest bits: for little-endian CPUs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script.ir_builder import tirx as T

from ._isa import Dot

__all__ = ["int16_pairs"]

Expr = Any


def int16_pairs(lanes: int, multiply: Callable[[Expr, Expr], Expr]) -> Dot:
    """Return the product of bytes.

    Parameters
    ----------
    lanes : int
    multiply : callable
        ``(a, b)`` of ``2 * lanes`` 16-bit integers each: the sums of two neighbouring products,
        ``lanes`` 32-bit integers.
    """
    words, pairs = f"uint16x{2 * lanes}", f"int16x{2 * lanes}"

    def load_a(buffer: Any, position: Expr) -> Expr:
        word = T.reinterpret("int32", buffer[T.ramp(position, 1, 4)])
        return T.reinterpret(words, T.broadcast(word, lanes))

    def load_b(buffer: Any, position: Expr) -> Expr:
        return buffer[T.ramp(position, 1, 4 * lanes)]

    def step(acc: Expr, a: Expr, b: Expr) -> Expr:
        low = T.bitwise_and(a, T.broadcast(T.uint16(0xFF), 2 * lanes))
        high = T.shift_right(a, T.broadcast(T.uint16(8), 2 * lanes))
        for bytes_, half in ((low, T.vectorlow), (high, T.vectorhigh)):
            acc = acc + multiply(T.reinterpret(pairs, bytes_), half(pairs, b))
        return acc

    return Dot("uint8", "int16", "int32", 4, lanes, load_a, load_b, step, split=2)
