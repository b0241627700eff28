"""Matrix products and convolutions from registers that hold a whole matrix.

A block is two tiles of positions by two of columns: each of the four loads of a step serves two
products. The packed weights need no change, 16 vectors of `_gemm.pack` being a tile. As tiles are
read whole, runs of the reduction are padded to 64 elements: with zero weights, and with activations
that are whatever lies behind. Sums go through a buffer of a few cache lines, not through memory.

A tile has at most 16 positions of one row of the output; rows are cut into tiles of equal height,
the last of which overlaps the one before where they do not fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tvm.script.ir_builder import tirx as T

from ..isa import Dot
from ..isa._tiles import DEPTH, LEFT, RIGHT, SIDE, SUMS
from ._kernel import Array, Kernel, unravel

__all__ = ["fits", "gemm_tiles", "pad_runs", "run_length"]

Expr = Any
LANES = SIDE
WASTE = 4  # how many times the work padding may make; tiles are about 8 times as fast as vectors
STEPS = 64  # of the reduction that make the configuration of tiles worth its time


def pad_runs(nest: Any, weights: np.ndarray, dot: Dot, beyond: int) -> tuple[Any, np.ndarray]:
    """Pad the runs of a reduction to what the product takes, if one may read so far.

    Parameters
    ----------
    nest : Nest
    weights : numpy.ndarray
        (depth, columns).
    dot : Dot
    beyond : int
        How many elements one may read behind any activation.

    Returns
    -------
    Nest, numpy.ndarray
        As they were if that does not pay.
    """
    extra = run_length(nest.run, dot, beyond) - nest.run
    if not extra:
        return nest, weights
    runs = weights.reshape(-1, nest.run, weights.shape[-1])
    full = np.pad(runs, [(0, 0), (0, extra), (0, 0)])
    return replace(nest, run=nest.run + extra), full.reshape(-1, weights.shape[-1])


def run_length(run: int, dot: Dot, beyond: int) -> int:
    """Return how many elements of the reduction to multiply for that many of them."""
    group, multiple = (run + -run % n for n in (dot.group, dot.multiple))
    return multiple if multiple - run <= beyond and multiple <= WASTE * run else group


def fits(nest: Any) -> bool:
    """Whether a product can be made of tiles."""
    return nest.run % DEPTH == 0 and nest.shift[0] % SIDE == 0


def gemm_tiles(
    kernel: Kernel,
    nest: Any,
    arrays: tuple[Array, Array, Array | None],
    finish: Callable[[list[Expr], int, Callable[[int, int], Expr]], None],
) -> None:
    """Emit the loops; see `_gemm.gemm`.

    References
    ----------
    Intel 64 and IA-32 Architectures Optimization Reference Manual, "Intel AMX": blocks of two by
    two tiles.
    """
    _Tiled(kernel, nest, arrays, finish).emit()


class _Tiled:
    """How a product is cut into tiles, and what is emitted for them."""

    def __init__(self, kernel, nest, arrays, finish) -> None:
        self.kernel, self.nest, self.finish = kernel, nest, finish
        self.a, self.b, self.begin = arrays
        extent = nest.rows.extent
        self.count = -(-extent // SIDE)
        self.height = -(-extent // self.count)
        self.panels = -(-nest.columns // LANES)
        self.width = 1 if nest.shift[0] % (2 * LANES) else min(2, self.panels)
        # Tiles of positions share their weights, so two of different outer indices may be a pair.
        own = any(loop.b or loop.begin for loop in nest.outer)
        extents = [loop.extent for loop in nest.outer]
        self.apart, self.together = (extents, []) if own else ([], extents)
        self.tiles = math.prod(self.together) * self.count
        self.pair = min(2, self.tiles)

    def emit(self) -> None:
        """Share blocks among threads: columns outside, so that weights stay near a core."""
        columns, rest = divmod(self.panels, self.width)
        blocks = -(-self.tiles // self.pair)
        chunk = self._chunk(blocks, columns + bool(rest))
        sizes = [*self.apart, columns + bool(rest), -(-blocks // chunk)]
        with self.kernel.parallel(sizes) as (*apart, column, number):
            self.registers = self.kernel.isa.tiles(self.height)
            size = self.pair * self.height * self.width * LANES
            self.sums = T.alloc_buffer((size,), "int32", scope="local")
            count = min(chunk, blocks)
            if blocks % count:
                count = T.min(chunk, blocks - number * chunk)

            def run(width: int) -> None:
                with T.serial(0, count) as i:
                    self._blocks(apart, number * chunk + i, column, width)

            _either(column, columns, self.width, rest, run)
            self.registers.release()

    def _chunk(self, blocks: int, columns: int) -> int:
        steps = self.nest.depth // DEPTH
        chunk = min(blocks, max(-(-STEPS // steps), blocks // 8))
        while chunk > 1 and -(-blocks // chunk) * columns < 4 * self.kernel.threads:
            chunk = -(-chunk // 2)
        return chunk

    def _blocks(self, apart, block: Expr, column: Expr, width: int) -> None:
        full, rest = divmod(self.tiles, self.pair)

        def run(height: int) -> None:
            places = [self._place(apart, block * self.pair + i) for i in range(height)]
            self._block(places, column * (self.width * LANES), column * self.width, width)

        _either(block, full, self.pair, rest, run)

    def _place(self, apart, tile: Expr) -> tuple[list[Expr], Expr]:
        """Return the outer indices, and the first position, of a tile."""
        *outer, part = unravel(tile, [*self.together, self.count])
        first = part * self.height
        if self.count > 1 and self.count * self.height > self.nest.rows.extent:
            first = T.min(first, self.nest.rows.extent - self.height)
        return [*apart, *outer], T.bind(T.cast(first, "int32"))

    def _block(self, places, start: Expr, panel: Expr, width: int) -> None:
        nest, registers = self.nest, self.registers
        lefts = [self._left(outer, first, start) for outer, first in places]
        own, begin = panel * (nest.depth * LANES), start
        for loop, number in zip(nest.outer, places[0][0], strict=True):
            own, begin = own + number * loop.b, begin + number * loop.begin
        right = T.bind(T.cast(own, "int32"))
        grid = [(i, j, SUMS + 2 * i + j) for i in range(len(places)) for j in range(width)]
        for _, j, tile in grid:
            if self.begin is None:
                registers.zero(tile)
            else:
                registers.load(tile, self.begin.buffer, begin + j * LANES, 0)

        def step(position: Expr, number: Expr) -> None:
            for i, left in enumerate(lefts):
                registers.load(LEFT + i, self.a.buffer, left + position, nest.rows.a)
            for j in range(width):
                at = right + j * (nest.depth * LANES) + number * (DEPTH * LANES)
                registers.load(RIGHT + j, self.b.buffer, at, DEPTH)
            for i, j, tile in grid:
                registers.multiply(tile, LEFT + i, RIGHT + j)

        self._reduce(nest.taps, step, 0, 0)
        self._finish(places, start, width, grid)

    def _left(self, outer: Sequence[Expr], first: Expr, start: Expr) -> Expr:
        nest = self.nest
        position = nest.start + first * nest.rows.a
        for loop, number in zip(nest.outer, outer, strict=True):
            position = position + number * loop.a
        if nest.shift[0]:
            position = position + start // nest.shift[0] * nest.shift[1]
        return T.bind(T.cast(position, "int32"))

    def _reduce(self, taps, step: Callable, position: Expr, number: Expr) -> None:
        if not taps:
            steps = self.nest.run // DEPTH
            with T.serial(0, steps) as k:
                step(position + k * DEPTH, number * steps + k)
            return
        tap, *rest = taps
        with T.serial(0, tap.extent) as k:
            self._reduce(rest, step, position + k * tap.a, number * tap.extent + k)

    def _read(self, position: Expr, lanes: int) -> Expr:
        return self.sums[position] if lanes == 1 else self.sums[T.ramp(position, 1, lanes)]

    def _finish(self, places, start: Expr, width: int, grid) -> None:
        nest, row = self.nest, width * LANES
        size = self.height * row
        for i, j, tile in grid:
            self.registers.store(tile, self.sums, i * size + j * LANES, row)
        for i, (outer, first) in enumerate(places):
            with T.serial(0, self.height) as r:
                index: list[Expr] = [0] * (len(nest.outer) + 2)
                for loop, number in zip(nest.outer, outer, strict=True):
                    index[loop.axis] = number
                index[nest.rows.axis] = first + r
                for j in range(width):
                    index[nest.column_axis] = start + j * LANES
                    base = i * size + r * row + j * LANES
                    self.finish(list(index), LANES, lambda at, n, b=base: self._read(b + at, n))


def _either(number: Expr, full: int, size: int, rest: int, emit: Callable[[int], None]) -> None:
    """Emit for `size`, or for `rest` where the number is behind the full ones."""
    if not (full and rest):
        emit(size if full else rest)
        return
    with T.If(number < full):
        with T.Then():
            emit(size)
        with T.Else():
            emit(rest)
