"""Products of bytes in one instruction.

``vpdpbusd`` multiplies unsigned by signed bytes and adds four products to each 32-bit lane without
saturating. Quantized activations are therefore kept as unsigned bytes, 128 more than their value.

References
----------
Intel 64 and IA-32 Architectures Software Developer's Manual, ``VPDPBUSD``.
"""

from __future__ import annotations

from typing import Any

from tvm.script.ir_builder import tirx as T

from ._isa import Dot

__all__ = ["vpdpbusd"]

Expr = Any


def vpdpbusd(lanes: int) -> Dot:
    """Return the product for registers of that many 32-bit lanes, 8 or 16."""
    name = f"llvm.x86.avx512.vpdpbusd.{32 * lanes}"

    def load_a(buffer: Any, position: Expr) -> Expr:
        word = T.reinterpret("int32", buffer[T.ramp(position, 1, 4)])
        return T.reinterpret(f"uint8x{4 * lanes}", T.broadcast(word, lanes))

    def load_b(buffer: Any, position: Expr) -> Expr:
        return buffer[T.ramp(position, 1, 4 * lanes)]

    def step(acc: Expr, a: Expr, b: Expr) -> Expr:
        return T.call_llvm_pure_intrin(f"int32x{lanes}", name, acc, a, b)

    return Dot("uint8", "int8", "int32", 4, lanes, load_a, load_b, step)
