"""What the machine could do: a kernel that multiplies and does nothing else.

The block of a matrix product, with both operands in the nearest cache: what a product reaches that
never waits for memory, hands nothing on, and has no odd edges.
"""

from __future__ import annotations

import functools
import math
import time
from typing import Any

import numpy as np
import tvm
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T
from tvm.target import Target

from .._lowering import LOWERING
from ._target import resolve_target
from ._threads import use_threads
from .isa import LEVELS, Dot, Isa

__all__ = ["peak"]

STEPS = 32  # of the reduction, so that both operands fit into 16 KiB
TIMES = 400  # turns of the block for each thread
RUNS = 20
TILE = 16  # rows and columns of a tile; a row has 64 bytes


@functools.cache
def peak(isa: str, dtype: str, threads: int) -> float:
    """Measure the best speed of products on this machine, once for the process.

    Parameters
    ----------
    isa : str
        A key of `tvm_book.backend.isa.LEVELS` that this CPU has.
    dtype : str
        ``"int8"`` or ``"float32"``.
    threads : int
        How many threads multiply at once.

    Returns
    -------
    float
        Operations a second in units of 10**9; a multiplication and an addition count as two.

    Examples
    --------
    >>> from tvm_book.backend import peak
    >>> peak("portable", "float32", 1) > 0
    True
    """
    level = LEVELS[isa]
    running = use_threads(threads)
    function, operands, operations = _kernel(level, dtype, running)
    target = level.target(resolve_target("llvm"))
    with LOWERING:
        run = _library(function, target)["peak"]
    tensors = [tvm.runtime.tensor(array) for array in operands]
    best = math.inf
    for _ in range(RUNS):
        start = time.perf_counter()
        run(*tensors)
        best = min(best, time.perf_counter() - start)
    return operations / best / 1e9


def _library(function: tvm.tirx.PrimFunc, target: Target) -> tvm.runtime.Module:
    module = tvm.IRModule({"peak": function.with_attr("global_symbol", "peak")})
    return tvm.tirx.build(module, target=target)


def _kernel(level: Isa, dtype: str, threads: int) -> tuple[Any, list[np.ndarray], int]:
    """Return the kernel, its operands, and how many operations it is."""
    tiles = level.tiles if dtype == "int8" else None
    dot: Dot = getattr(level, dtype)
    columns = 2
    rows = (level.registers - 2 - columns) // columns
    block = 4 * TILE * TILE * 4 * TILE if tiles else rows * columns * dot.lanes * dot.group
    a = np.ones((STEPS * rows * max(dot.group, 64),), dot.a)
    b = np.ones((STEPS * columns * dot.lanes * dot.group,), dot.b)
    out = np.zeros((threads, rows * columns * dot.lanes), dot.acc)
    with IRBuilder() as builder:
        with T.prim_func():
            T.func_name("peak")
            T.func_attr({"tirx.noalias": True})
            buffers = [
                T.arg(name, T.buffer(array.shape, str(array.dtype)))
                for name, array in (("a", a), ("b", b), ("out", out))
            ]
            with (T.parallel if threads > 1 else T.serial)(0, threads) as thread:
                if tiles:
                    _tiles(tiles(TILE), buffers)
                else:
                    _vectors(dot, rows, columns, buffers, thread)
    return builder.get(), [a, b, out], 2 * block * STEPS * TIMES * threads


def _vectors(dot: Dot, rows: int, columns: int, buffers: list[Any], thread: Any) -> None:
    a, b, out = buffers
    acc = T.alloc_buffer((rows * columns * dot.lanes,), dot.acc, scope="local")
    where = [T.ramp(i * dot.lanes, 1, dot.lanes) for i in range(rows * columns)]
    for place in where:
        T.buffer_store(acc, T.broadcast(T.cast(0, dot.acc), dot.lanes), [place])
    with T.serial(0, TIMES):
        with T.serial(0, STEPS) as k:
            base = k * (columns * dot.lanes * dot.group)
            right = [
                T.bind(dot.load_b(b, base + j * dot.lanes * dot.group)) for j in range(columns)
            ]
            for i in range(rows):
                left = T.bind(dot.load_a(a, (k * rows + i) * dot.group))
                for j in range(columns):
                    place = where[i * columns + j]
                    T.buffer_store(acc, dot.step(acc[place], left, right[j]), [place])
    for place in where:
        T.buffer_store(out, acc[place], [thread, place])


def _tiles(tile: Any, buffers: list[Any]) -> None:
    a, b, _ = buffers
    for sums in range(4):
        tile.zero(sums)
    for number in (4, 5):
        tile.load(number, a, 0, 64)
        tile.load(number + 2, b, 0, 64)
    with T.serial(0, TIMES * STEPS):
        for sums in range(4):
            tile.multiply(sums, 4 + sums // 2, 6 + sums % 2)
    tile.release()
