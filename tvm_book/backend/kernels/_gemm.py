"""Matrix products and convolutions: sums held in registers while the reduction runs.

A convolution over channels-last images is a matrix product whose rows are output positions: what a
position multiplies lies in memory as a few contiguous runs (a row of the window each), so no copy
is made of it. A block of `rows` positions by `panels` vectors of output channels keeps its sums in
registers; each step of the reduction loads `panels` vectors of weights and broadcasts one group of
activations for each position.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script.ir_builder import tirx as T

from ..isa import Dot
from ._blocking import Blocking
from ._gemm_amx import fits, gemm_tiles
from ._kernel import Array, Kernel, unravel

__all__ = ["Loop", "Nest", "gemm", "pack"]

Expr = Any


@dataclass(frozen=True)
class Loop:
    """One axis of the output, or of the reduction.

    Attributes
    ----------
    extent : int
    a : int
        Elements of the activations' array from one index to the next.
    axis : int
        Which axis of the output; -1 for the reduction.
    b : int
        Whether the weights differ from index to index: how many elements apart they are.
    begin : int
        The same of what the sums begin with.
    """

    extent: int
    a: int
    axis: int = -1
    b: int = 0
    begin: int = 0


@dataclass(frozen=True)
class Nest:
    """The loops of a product.

    Attributes
    ----------
    outer : tuple of Loop
        Axes of the output that are looped over one by one.
    rows : Loop
        The axis whose positions form the rows of a block.
    columns : int
        Size of the output's vector axis.
    column_axis : int
        Which axis of the output that is.
    taps : tuple of Loop
        Outer loops of the reduction.
    run : int
        Contiguous elements of the reduction at each tap, a multiple of the group.
    start : int
        Position of the first element that is multiplied.
    shift : tuple of (int, int)
        ``(n, k)``: from one `n` columns to the next, activations begin `k` elements later, for
        grouped convolutions; ``(0, 0)`` if all columns read the same.
    """

    outer: tuple[Loop, ...]
    rows: Loop
    columns: int
    column_axis: int
    taps: tuple[Loop, ...]
    run: int
    start: int
    shift: tuple[int, int] = (0, 0)

    @property
    def depth(self) -> int:
        """Elements of the reduction."""
        return math.prod(tap.extent for tap in self.taps) * self.run


def pack(weights: np.ndarray, dot: Dot) -> np.ndarray:
    """Arrange weights (depth, columns) as the kernel reads them.

    The result, (columns / lanes, depth / group, lanes * group) of `dot.b`, is a panel for each
    vector of columns; missing columns are zero. Leading axes stay.
    """
    *batch, depth, columns = weights.shape
    panels, steps = -(-columns // dot.lanes), depth // dot.group
    full = np.zeros((*batch, depth, panels * dot.lanes), dot.b)
    full[..., :columns] = weights
    tiles = full.reshape(*batch, steps, dot.group // dot.split, dot.split, panels, dot.lanes)
    order = [*range(len(batch)), *(len(batch) + axis for axis in (3, 0, 2, 4, 1))]
    return np.ascontiguousarray(tiles.transpose(order)).reshape(
        *batch, panels, steps, dot.lanes * dot.group
    )


def gemm(
    kernel: Kernel,
    dot: Dot,
    nest: Nest,
    blocking: Blocking,
    arrays: tuple[Array, Array, Array | None],
    finish: Callable[[list[Expr], int, Callable[[int, int], Expr]], None],
) -> None:
    """Emit the loops.

    Parameters
    ----------
    kernel : Kernel
    dot : Dot
    nest : Nest
    blocking : Blocking
        Sizes of the block, and how work is cut for threads.
    arrays : tuple of Array
        Activations; packed weights; the values at which the sums begin, one for each column (a
        multiple of the lanes), or None for zero.
    finish : callable
        ``(index, lanes, read)`` does something with the sums at `index` and the columns behind it:
        ``read(begin, lanes)`` returns some of them.
    """
    if kernel.isa.tiles is not None and dot is kernel.isa.int8 and fits(nest):
        gemm_tiles(kernel, nest, arrays, finish)
        return
    panels = -(-nest.columns // dot.lanes)
    full, rest = divmod(panels, blocking.panels)
    rows = math.prod(loop.extent for loop in nest.outer)
    sizes = [-(-rows // blocking.chunk), full + bool(rest)]
    order = [1, 0] if blocking.columns_first else [0, 1]
    with kernel.parallel([sizes[i] for i in order]) as item:
        chunk, column = (item[order.index(i)] for i in (0, 1))
        work = _Work(dot, nest, blocking, arrays, finish)
        if full and rest:
            with T.If(column < full):
                with T.Then():
                    work.chunk(chunk, rows, column, blocking.panels)
                with T.Else():
                    work.chunk(chunk, rows, column, rest)
        else:
            work.chunk(chunk, rows, column, blocking.panels if full else rest)


class _Work:
    """What one thread does at a time: some rows, one group of panels."""

    def __init__(self, dot, nest, blocking, arrays, finish) -> None:
        self.dot, self.nest, self.blocking, self.finish = dot, nest, blocking, finish
        self.a, self.b, self.begin = arrays

    def chunk(self, chunk: Expr, rows: int, column: Expr, panels: int) -> None:
        """Compute some indices of the outer loops, the `chunk`-th run of them."""
        size = self.blocking.chunk
        count: Expr = min(size, rows)
        if rows > size and rows % size:
            count = T.min(size, rows - chunk * size)
        extents = [loop.extent for loop in self.nest.outer]
        if size == 1 or rows == 1:
            self._row(unravel(chunk, extents), column, panels)
            return
        with T.serial(0, count) as row:
            self._row(unravel(chunk * size + row, extents), column, panels)

    def _row(self, index: Sequence[Expr], column: Expr, panels: int) -> None:
        """Compute one index of the outer loops, block by block, with a smaller last one."""
        block, extent = self.blocking.rows, self.nest.rows.extent
        full, rest = divmod(extent, block)
        if full == 1:
            self._block(index, 0, block, column, panels)
        elif full:
            with T.serial(0, full) as number:
                self._block(index, number * block, block, column, panels)
        if rest:
            self._block(index, full * block, rest, column, panels)

    def _block(self, outer, first: Expr, rows: int, column: Expr, panels: int) -> None:
        """Sum up one block of the output and hand it on."""
        dot, nest = self.dot, self.nest
        lanes = dot.lanes
        panel = nest.depth // dot.group * lanes * dot.group
        acc = T.alloc_buffer((rows * panels * lanes,), dot.acc, scope="local")
        start = column * (self.blocking.panels * lanes)
        first_sum = start
        for loop, number in zip(nest.outer, outer, strict=True):
            first_sum = first_sum + number * loop.begin if loop.begin else first_sum
        for j in range(panels):
            value = T.broadcast(T.cast(0, dot.acc), lanes)
            if self.begin is not None:
                value = T.bind(self.begin.buffer[T.ramp(first_sum + j * lanes, 1, lanes)])
            for i in range(rows):
                T.buffer_store(acc, value, [T.ramp((i * panels + j) * lanes, 1, lanes)])
        a_base: Expr = nest.start + first * nest.rows.a
        b_base: Expr = column * (self.blocking.panels * panel)
        for loop, number in zip(nest.outer, outer, strict=True):
            a_base, b_base = a_base + number * loop.a, b_base + number * loop.b
        if nest.shift[0]:
            a_base = a_base + start // nest.shift[0] * nest.shift[1]
        a_base, b_base = T.bind(T.cast(a_base, "int32")), T.bind(T.cast(b_base, "int32"))

        def step(position: Expr, number: Expr) -> None:
            b = [
                T.bind(dot.load_b(self.b.buffer, b_base + j * panel + number * lanes * dot.group))
                for j in range(panels)
            ]
            for i in range(rows):
                a = T.bind(dot.load_a(self.a.buffer, a_base + position + i * nest.rows.a))
                for j in range(panels):
                    where = T.ramp((i * panels + j) * lanes, 1, lanes)
                    T.buffer_store(acc, dot.step(acc[where], a, b[j]), [where])

        self._reduce(step)
        index: list[Expr] = [0] * (len(nest.outer) + 2)
        for loop, number in zip(nest.outer, outer, strict=True):
            index[loop.axis] = number
        for i in range(rows):
            for j in range(panels):
                index[nest.rows.axis] = first + i
                index[nest.column_axis] = start + j * lanes
                base = (i * panels + j) * lanes
                self.finish(list(index), lanes, lambda at, n, base=base: _read(acc, base + at, n))

    def _reduce(self, step: Callable[[Expr, Expr], None]) -> None:
        """Call `step` for all groups of the reduction: position in the activations, number."""
        steps = self.nest.run // self.dot.group

        def loop(taps: Sequence[Loop], position: Expr, number: Expr) -> None:
            if not taps:
                if steps == 1:
                    step(position, number)
                    return
                with T.serial(0, steps) as k:
                    step(position + k * self.dot.group, number * steps + k)
                return
            tap, *rest = taps
            if tap.extent == 1:
                loop(rest, position, number)
                return
            with T.serial(0, tap.extent) as k:
                loop(rest, position + k * tap.a, number * tap.extent + k)

        loop(self.nest.taps, 0, 0)


def _read(acc: Any, position: int, lanes: int) -> Expr:
    return acc[position] if lanes == 1 else acc[T.ramp(position, 1, lanes)]
