"""Intel AMX: 16 by 16 sums of 64 products of bytes in one instruction.

Vectors of other kernels are those of AVX-512, which every CPU with AMX has.

References
----------
Intel 64 and IA-32 Architectures Software Developer's Manual, ``LDTILECFG``, ``TDPBUSD``.
Linux, ``Documentation/arch/x86/xstate.rst``: a process asks for the permission to use tiles.
"""

from __future__ import annotations

import ctypes
import functools
import os
from dataclasses import replace
from typing import Any

from tvm.script.ir_builder import tirx as T
from tvm.target import Target

from ._tiles import DEPTH, RIGHT, SIDE
from ._trial import multiplies
from .avx512_vnni import ISA as VECTORS

__all__ = ["ISA", "INT8", "ROW"]

ROW = DEPTH  # bytes in a row of a tile
PALETTE = 1
ARCH_PRCTL, REQUEST, TILE_DATA = 158, 0x1023, 18  # ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA

INT8 = replace(VECTORS.int8, multiple=ROW)


@functools.cache
def refusal() -> str | None:
    """Ask the system for the tile registers, and try them; return why they are not to be used.

    Once for the process.
    """
    try:
        failed = ctypes.CDLL(None, use_errno=True).syscall(ARCH_PRCTL, REQUEST, TILE_DATA)
    except (OSError, AttributeError, TypeError):  # no such call on this system
        return "this system has no call that allows tile registers"
    if failed:
        return f"the system refuses tile registers ({os.strerror(ctypes.get_errno())})"
    if not multiplies(ISA.tiles, ISA.target(Target("llvm"))):
        return "its tiles do not multiply as they should"
    return None


class _Instructions:
    """Tiles as the CPU has them."""

    def __init__(self, rows: int) -> None:
        config = T.alloc_buffer((64,), "uint8")
        T.buffer_store(config, T.broadcast(T.uint8(0), 64), [T.ramp(0, 1, 64)])
        T.buffer_store(config, T.uint8(PALETTE), [0])
        for tile in range(8):
            T.buffer_store(config, T.uint8(ROW), [16 + 2 * tile])
            T.buffer_store(config, T.uint8(rows if tile < RIGHT else SIDE), [48 + tile])
        _emit("ldtilecfg", T.address_of(config[0]))

    def zero(self, tile: int) -> None:
        _emit("tilezero", T.int8(tile))

    def load(self, tile: int, buffer: Any, position: Any, stride: int) -> None:
        _emit("tileloadd64", T.int8(tile), T.address_of(buffer[position]), _bytes(buffer, stride))

    def multiply(self, sums: int, a: int, b: int) -> None:
        _emit("tdpbusd", T.int8(sums), T.int8(a), T.int8(b))

    def store(self, tile: int, buffer: Any, position: Any, stride: int) -> None:
        _emit("tilestored64", T.int8(tile), T.address_of(buffer[position]), _bytes(buffer, stride))

    def release(self) -> None:
        _emit("tilerelease")


def _emit(name: str, *arguments: Any) -> None:
    T.evaluate(T.call_llvm_intrin("void", f"llvm.x86.{name}", *arguments))


def _bytes(buffer: Any, stride: int) -> Any:
    return T.int64(stride * (4 if str(buffer.dtype) == "int32" else 1))


ISA = replace(
    VECTORS,
    name="amx",
    needs=(*VECTORS.needs, "amx-tile", "amx-int8"),
    int8=INT8,
    options={"mcpu": "sapphirerapids"},
    tiles=_Instructions,
    refusal=refusal,
)
