"""AVX2 with AVX-VNNI: 32 products of bytes a step, as `avx512_vnni` at half the width.

References
----------
Intel 64 and IA-32 Architectures Software Developer's Manual, ``VPDPBUSD`` (VEX encoding).
"""

from __future__ import annotations

from ._bytes import vpdpbusd
from ._float import fused
from ._isa import Isa

__all__ = ["ISA"]

ISA = Isa(
    name="avx-vnni",
    needs=("avx2", "fma", "avxvnni"),
    lanes=8,
    registers=16,
    int8=vpdpbusd(8),
    float32=fused(8),
    options={"mcpu": "x86-64-v3", "mattr": ["+avxvnni"]},
)
