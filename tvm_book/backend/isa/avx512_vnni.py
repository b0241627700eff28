"""AVX-512 with VNNI: 64 products of bytes a step.

``vpdpbusd`` multiplies unsigned by signed bytes and adds four products to each 32-bit lane without
saturating. Quantized activations are therefore kept as unsigned bytes, 128 more than their value.

References
----------
Intel 64 and IA-32 Architectures Software Developer's Manual, ``VPDPBUSD``.
"""

from __future__ import annotations

from tvm.script.ir_builder import tirx as T

from ._float import fused
from ._isa import Dot, Isa

__all__ = ["ISA"]


def _load_a(buffer, position):
    word = T.reinterpret("int32", buffer[T.ramp(position, 1, 4)])
    return T.reinterpret("uint8x64", T.broadcast(word, 16))


def _load_b(buffer, position):
    return buffer[T.ramp(position, 1, 64)]


def _step(acc, a, b):
    return T.call_llvm_pure_intrin("int32x16", "llvm.x86.avx512.vpdpbusd.512", acc, a, b)


ISA = Isa(
    name="avx512-vnni",
    needs=("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni"),
    lanes=16,
    registers=32,
    int8=Dot("uint8", "int8", "int32", 4, 16, _load_a, _load_b, _step),
    float32=fused(16),
    options={"mcpu": "cascadelake"},
)
