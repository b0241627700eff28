"""AVX2 with FMA: 16 products of 16-bit integers an instruction.

``vpmaddubsw``, the product of bytes, saturates sums of two; ``vpmaddwd`` on widened bytes is exact.

References
----------
Intel 64 and IA-32 Architectures Software Developer's Manual, ``PMADDWD``.
"""

from __future__ import annotations

from tvm.script.ir_builder import tirx as T

from ._float import fused
from ._isa import Isa
from ._pairs import int16_pairs

__all__ = ["ISA"]


def _multiply(a, b):
    return T.call_llvm_pure_intrin("int32x8", "llvm.x86.avx2.pmadd.wd", a, b)


ISA = Isa(
    name="avx2",
    needs=("avx2", "fma"),
    lanes=8,
    registers=16,
    int8=int16_pairs(8, _multiply),
    float32=fused(8),
    options={"mcpu": "x86-64-v3"},
)
