"""Lay out the right operand of a product while the program runs, as `_gemm.pack` does before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from ..isa import Dot
from ._kernel import Array, Kernel, chunks, vector
from ._transpose import interleave
from ._view import View

__all__ = ["pack_activations", "packed_views"]

Expr = Any
BLOCK = 16  # elements of the reduction that are turned over at a time


def packed_views(shape: Sequence[int], dot: Dot, run: int, sums: bool) -> list[View]:
    """Return where a right operand (..., depth, columns) goes, and the sums of its columns.

    Its depth is filled up to `run`, a multiple of the product's group.
    """
    *batch, _, columns = shape
    panels = -(-columns // dot.lanes)
    flat = [math.prod(batch) * panels * run * dot.lanes]
    views = [View((n,), dot.b, dot.b, (n,), (1,), halo=((0, 0),)) for n in flat]
    if sums:
        n = math.prod(batch) * panels * dot.lanes
        views.append(View((n,), dot.acc, dot.acc, (n,), (1,), halo=((0, 0),)))
    return views


def pack_activations(
    kernel: Kernel,
    dot: Dot,
    run: int,
    array: Array,
    packed: Array,
    sums: Array | None,
    factor: int,
) -> None:
    """Emit the loops.

    Parameters
    ----------
    kernel : Kernel
    dot : Dot
    run : int
        Depth of the packed matrix.
    array : Array
        The operand (..., depth, columns), of any strides.
    packed : Array
        See `_gemm.pack`; missing columns and depth are zero.
    sums : Array or None
        Receives `factor` times the sum of each column.
    factor : int
    """
    *batch, depth, columns = array.view.shape
    full, rest = divmod(columns, dot.lanes)
    work = _Panel(dot, run, array, packed, depth)
    panels = full + bool(rest)
    with kernel.parallel([*batch, panels]) as (*index, panel):
        number = panel
        for i, step in zip(index, _steps(batch, panels), strict=True):
            number = number + i * step

        def emit(count: int) -> None:
            total = work.emit(index, panel * dot.lanes, count, number)
            if sums is not None:
                value = total[T.ramp(0, 1, dot.lanes)] * _splat(factor, "int32", dot.lanes)
                T.buffer_store(sums.buffer, value, [T.ramp(number * dot.lanes, 1, dot.lanes)])

        if full and rest:
            with T.If(panel < full):
                with T.Then():
                    emit(dot.lanes)
                with T.Else():
                    emit(rest)
        else:
            emit(rest or dot.lanes)


def _steps(extents: Sequence[int], inner: int) -> list[int]:
    return [math.prod(extents[a + 1 :]) * inner for a in range(len(extents))]


class _Panel:
    """One vector of columns, over the whole depth."""

    def __init__(self, dot: Dot, run: int, array: Array, packed: Array, depth: int) -> None:
        self.dot, self.run, self.depth = dot, run, depth
        self.array, self.packed = array, packed
        self.rank = len(array.view.shape)
        self.along_depth = array.view.strides[-1] != 1 and array.view.strides[-2] == 1

    def emit(self, batch: list[Expr], column: Expr, count: int, number: Expr) -> Any:
        """Write the panel of a number, `count` columns from `column` on; return their sums."""
        dot = self.dot
        start = T.bind(number * (self.run * dot.lanes))
        total = T.alloc_buffer((dot.lanes,), dot.acc, scope="local")
        every = T.ramp(0, 1, dot.lanes)
        T.buffer_store(total, _splat(0, dot.acc, dot.lanes), [every])
        at_once = max(BLOCK if self.along_depth else dot.group, dot.group)
        blocks, rest = divmod(self.depth, at_once)

        def block(first: Expr, valid: int) -> None:
            rows = self._rows([*batch, first, column], valid, count)
            if dot.acc == "int32":
                for row in rows:
                    wide = T.cast(row, vector("int32", dot.lanes))
                    T.buffer_store(total, total[every] + wide, [every])
            missing = -valid % dot.group
            rows = [T.bind(T.cast(row, vector(dot.b, dot.lanes))) for row in rows]
            rows += [_splat(0, dot.b, dot.lanes)] * missing
            base = start + first * dot.lanes
            parts = dot.group // dot.split
            for step in range(len(rows) // dot.group):
                for v in range(dot.split):
                    taken = rows[step * dot.group + v : (step + 1) * dot.group : dot.split]
                    for place, value in enumerate(interleave(taken, dot.lanes)):
                        at = ((step * dot.split + v) * parts + place) * dot.lanes
                        T.buffer_store(self.packed.buffer, value, [T.ramp(base + at, 1, dot.lanes)])

        if blocks:
            with T.serial(0, blocks) as i:
                block(i * at_once, at_once)
        if rest:
            block(blocks * at_once, rest)
        done = self.depth + -self.depth % dot.group
        if self.run > done:
            with T.serial(0, (self.run - done) // dot.group) as i:
                for part in range(dot.group):
                    at = start + done * dot.lanes + (i * dot.group + part) * dot.lanes
                    zero = _splat(0, dot.b, dot.lanes)
                    T.buffer_store(self.packed.buffer, zero, [T.ramp(at, 1, dot.lanes)])
        return total

    def _rows(self, index: list[Expr], valid: int, count: int) -> list[Expr]:
        """Return `count` columns, and zeros, as a vector for each of `valid` indices of depth."""
        depth, column, lanes = self.rank - 2, self.rank - 1, self.dot.lanes

        def at(axis: int, number: int) -> list[Expr]:
            return [x + number if a == axis and number else x for a, x in enumerate(index)]

        if not self.along_depth:
            return [self._load(at(depth, k), column, count, lanes) for k in range(valid)]
        columns = [self._load(at(column, c), depth, valid, BLOCK) for c in range(count)]
        columns += [_splat(0, self.array.view.dtype, BLOCK)] * (lanes - count)
        flat = interleave(columns, BLOCK)
        if lanes > BLOCK:
            raise NotImplementedError("a vector of sums is wider than a block")
        per = BLOCK // lanes  # indices of the depth in a vector of BLOCK elements
        if per == 1:
            return flat[:valid]
        return [
            T.bind(
                tirx.Shuffle([flat[k // per]], list(range(k % per * lanes, (k % per + 1) * lanes)))
            )
            for k in range(valid)
        ]

    def _load(self, index: list[Expr], axis: int, count: int, lanes: int) -> Expr:
        """Load `count` elements and fill up with zeros, without reading behind them."""
        if count == lanes:
            return T.bind(self.array.load(index, axis, lanes))
        value = zero = _splat(0, self.array.view.dtype, lanes)
        for begin, width in chunks(count, lanes):
            at = [x + begin if a == axis else x for a, x in enumerate(index)]
            part = self.array.load(at, axis, width)
            part = T.broadcast(part, lanes) if width == 1 else part
            length = lanes if width == 1 else width
            stop = begin + width
            pick = [i - begin if begin <= i < stop else length for i in range(lanes)]
            value = value + tirx.Shuffle([T.bind(part), zero], pick)
        return T.bind(value)


def _splat(value: int, dtype: str, lanes: int) -> Expr:
    return T.broadcast(tirx.const(value, dtype), lanes)
