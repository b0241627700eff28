"""One product of two tiles, to see that they multiply before anything relies on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T
from tvm.target import Target

from ._tiles import DEPTH, LEFT, RIGHT, SIDE, SUMS

__all__ = ["multiplies"]


def multiplies(tiles: Callable[[int], Any], target: Target) -> bool:
    """Run ``sums + left @ right`` on tiles and compare with NumPy.

    Parameters
    ----------
    tiles : callable
        As `Isa.tiles`.
    target : tvm.target.Target
        A target that has these instructions, and that this CPU can run.
    """
    from .._machine_code import library  # a level is data to it

    random = np.random.default_rng(0)
    left = random.integers(0, 256, (SIDE, DEPTH)).astype("uint8")
    right = random.integers(-128, 128, (DEPTH, SIDE)).astype("int8")
    start = random.integers(-(2**20), 2**20, SIDE).astype("int32")
    packed = right.reshape(DEPTH // 4, 4, SIDE).transpose(0, 2, 1)
    arrays = [left, packed, start, np.zeros((SIDE, SIDE), "int32")]
    tensors = [tvm.runtime.tensor(np.ascontiguousarray(a).reshape(-1)) for a in arrays]
    library({"trial": _trial(tiles)}, target)["trial"](*tensors)
    expected = start + left.astype("int64") @ right
    return np.array_equal(tensors[-1].numpy().reshape(SIDE, SIDE), expected)


def _trial(tiles: Callable[[int], Any]) -> tirx.PrimFunc:
    sizes = (SIDE * DEPTH, DEPTH * SIDE, SIDE, SIDE * SIDE)
    dtypes = ("uint8", "int8", "int32", "int32")
    with IRBuilder() as builder:
        with T.prim_func():
            T.func_name("trial")
            left, right, start, out = (
                T.arg(f"x{i}", T.buffer([tirx.IntImm("int64", size)], dtype))
                for i, (size, dtype) in enumerate(zip(sizes, dtypes, strict=True))
            )
            registers = tiles(SIDE)
            registers.load(SUMS, start, 0, 0)
            registers.load(LEFT, left, 0, DEPTH)
            registers.load(RIGHT, right, 0, DEPTH)
            registers.multiply(SUMS, LEFT, RIGHT)
            registers.store(SUMS, out, 0, SIDE)
            registers.release()
    return builder.get().with_attr("global_symbol", "trial")
