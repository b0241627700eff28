"""Resizing of images: each output position reads one pixel, or mixes four."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm.script.ir_builder import tirx as T

from ._kernel import Array, Kernel

__all__ = ["linear", "nearest"]

Expr = Any
CHANNELS = 1  # the axis of NCHW


def nearest(
    kernel: Kernel, arrays: Sequence[Array], shape: Sequence[int], lanes: int, finish: Callable
) -> None:
    """Emit the loops; `arrays` are the images, and which row and which column to read."""
    image, rows, columns = arrays

    def cell(b: Expr, y: Expr, x: Expr, c: Expr, row: Expr) -> None:
        index = [b, c, row, columns.buffer[x]]

        def read(at: int, n: int) -> Expr:
            return image.load(_at(index, at), CHANNELS, n)

        finish([b, c, y, x], lanes, read)

    _cells(kernel, shape, lanes, lambda y: T.bind(rows.buffer[y]), cell)


def linear(
    kernel: Kernel, arrays: Sequence[Array], shape: Sequence[int], lanes: int, finish: Callable
) -> None:
    """Emit the loops.

    `arrays` are the images; for rows and for columns which two to read at each output, one table
    behind the other, and the weight of the second.
    """
    image, rows, down, columns, right = arrays

    def pair(table: Array, weight: Array, extent: int, o: Expr) -> tuple[Expr, Expr, Expr]:
        return tuple(
            T.bind(v) for v in (table.buffer[o], table.buffer[o + extent], weight.buffer[o])
        )

    def cell(b: Expr, y: Expr, x: Expr, c: Expr, row: tuple[Expr, Expr, Expr]) -> None:
        column = pair(columns, right, shape[3], x)

        def read(at: int, n: int) -> Expr:
            def mix(first: Expr, second: Expr, weight: Expr) -> Expr:
                near, far = 1.0 - weight, weight
                if n > 1:
                    near, far = T.broadcast(near, n), T.broadcast(far, n)
                return first * near + second * far

            def pixel(i: Expr, j: Expr) -> Expr:
                return image.load(_at([b, c, i, j], at), CHANNELS, n)

            top, bottom = (mix(*(pixel(i, j) for j in column[:2]), column[2]) for i in row[:2])
            return mix(top, bottom, row[2])

        finish([b, c, y, x], lanes, read)

    _cells(kernel, shape, lanes, lambda y: pair(rows, down, shape[2], y), cell)


def _at(index: list[Expr], begin: int) -> list[Expr]:
    return [i + begin if a == CHANNELS else i for a, i in enumerate(index)]


def _cells(kernel: Kernel, shape, lanes: int, prepare: Callable, cell: Callable) -> None:
    """Loop over output positions and vectors of channels."""
    batch, channels, height, width = shape
    with kernel.parallel([batch, height]) as (b, y):
        row = prepare(y)
        with T.serial(0, width) as x:
            with T.serial(0, -(-channels // lanes)) as panel:
                cell(b, y, x, panel * lanes, row)
