"""AVX-512 without products of bytes (Skylake-X): 32 products of 16-bit integers an instruction.

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
    return T.call_llvm_pure_intrin("int32x16", "llvm.x86.avx512.pmaddw.d.512", a, b)


ISA = Isa(
    name="avx512",
    needs=("avx512f", "avx512bw", "avx512vl", "avx512dq"),
    lanes=16,
    registers=32,
    int8=int16_pairs(16, _multiply),
    float32=fused(16),
    options={"mcpu": "skylake-avx512"},
)
