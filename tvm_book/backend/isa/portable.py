"""Any CPU that LLVM has code for: plain vector arithmetic, no instruction named."""

from __future__ import annotations

from tvm.script.ir_builder import tirx as T

from ._float import separate
from ._isa import Dot, Isa

__all__ = ["ISA"]

LANES = 8


def _load_a(buffer, position):
    return T.broadcast(T.cast(buffer[position], "int32"), LANES)


def _load_b(buffer, position):
    return T.cast(buffer[T.ramp(position, 1, LANES)], f"int32x{LANES}")


def _step(acc, a, b):
    return acc + a * b


ISA = Isa(
    name="portable",
    needs=(),
    lanes=LANES,
    registers=16,
    int8=Dot("uint8", "int8", "int32", 1, LANES, _load_a, _load_b, _step),
    float32=separate(LANES),
)
