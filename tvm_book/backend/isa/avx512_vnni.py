"""AVX-512 with VNNI: 64 products of bytes a step."""

from __future__ import annotations

from ._bytes import vpdpbusd
from ._float import fused
from ._isa import Isa

__all__ = ["ISA"]

ISA = Isa(
    name="avx512-vnni",
    needs=("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni"),
    lanes=16,
    registers=32,
    int8=vpdpbusd(16),
    float32=fused(16),
    options={"mcpu": "cascadelake"},
)
