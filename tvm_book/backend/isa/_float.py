"""Products of float32, with and without fused multiply-add."""

from __future__ import annotations

from tvm.script.ir_builder import tirx as T

from ._isa import Dot

__all__ = ["fused", "separate"]


def fused(lanes: int) -> Dot:
    """Return the product that rounds once, for CPUs that have that instruction."""
    dtype = f"float32x{lanes}"
    return _dot(lanes, lambda acc, a, b: T.call_llvm_pure_intrin(dtype, "llvm.fma", a, b, acc))


def separate(lanes: int) -> Dot:
    """Return the product that any CPU has."""
    return _dot(lanes, lambda acc, a, b: acc + a * b)


def _dot(lanes: int, step) -> Dot:
    def load_a(buffer, position):
        return T.broadcast(buffer[position], lanes)

    def load_b(buffer, position):
        return buffer[T.ramp(position, 1, lanes)]

    return Dot("float32", "float32", "float32", 1, lanes, load_a, load_b, step)
