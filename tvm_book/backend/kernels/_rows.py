"""Rows that are read more than once: kept in whole vectors, and reduced along the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from ._functions import held, splat
from ._kernel import Array, Kernel, chunks, unravel

__all__ = ["Row", "Rows", "each_row"]

Expr = Any
ON_STACK = 1 << 13  # elements of a row; longer ones are in memory that TVM keeps for a kernel
FLOAT = "float32"


@dataclass(frozen=True)
class Rows:
    """Which elements make a row.

    Attributes
    ----------
    kept : tuple of int
        Axes of the source, along which rows follow each other.
    reduced : tuple of int
        Axes along which a row extends; its elements are neighbours on the last one.
    place : callable
        From an index of the source to one of the result.
    """

    kept: tuple[int, ...]
    reduced: tuple[int, ...]
    place: Callable[[list[Expr]], list[Expr]]


def _width(kernel: Kernel, size: int) -> int:
    """Return how many elements to take at a time: some vectors, if hardly any lane is idle."""
    lanes = kernel.isa.lanes
    most = max(kernel.isa.registers // 8, 1)
    for number in (4, 2):
        wide = number * lanes
        if number <= most and -size % wide <= size // 8:
            return wide
    return lanes


class Row:
    """One row in scratch memory.

    Parameters
    ----------
    kernel : Kernel
    source : Array
    rows : Rows
    index : list
        Of the row's first element.
    """

    def __init__(self, kernel: Kernel, source: Array, rows: Rows, index: list[Expr]) -> None:
        self.kernel, self.source, self.rows, self.index = kernel, source, rows, index
        self.axis = rows.reduced[-1]
        self.size = source.view.shape[self.axis]
        self.wide = _width(kernel, self.size)
        self.padded = self.size + -self.size % self.wide
        self.outer = [source.view.shape[a] for a in rows.reduced[:-1]]
        self.count = math.prod(self.outer) * self.size
        total = math.prod(self.outer) * self.padded
        scope = "local" if total <= ON_STACK else "global"
        self.scratch = T.alloc_buffer((total,), FLOAT, scope=scope)

    @contextmanager
    def _lines(self) -> Iterator[tuple[Expr, list[Expr]]]:
        """Loop over the outer axes: (position in scratch, index in the source)."""
        if math.prod(self.outer) == 1:
            yield 0, list(self.index)
            return
        with T.serial(0, math.prod(self.outer)) as line:
            index = list(self.index)
            for a, number in zip(self.rows.reduced, unravel(line, self.outer), strict=False):
                index[a] = number
            yield line * self.padded, index

    def read(self, position: Expr, lanes: int) -> Expr:
        """Return elements of the scratch memory."""
        return self.scratch[position if lanes == 1 else T.ramp(position, 1, lanes)]

    def write(self, position: Expr, value: Expr, lanes: int) -> None:
        """Store elements of the scratch memory."""
        T.buffer_store(
            self.scratch, value, [position if lanes == 1 else T.ramp(position, 1, lanes)]
        )

    def fetch(self, index: list[Expr], begin: Expr, fill: float) -> Expr:
        """Return a vector of the source; lanes behind the end of the row are `fill`."""

        def piece(start: Expr, lanes: int) -> Expr:
            at = [start if a == self.axis else i for a, i in enumerate(index)]
            return self.source.load(at, self.axis, lanes)

        count = self.size - begin if isinstance(begin, int) else self.wide
        if count >= self.wide:
            return piece(begin, self.wide)
        parts, pick, total = [], [], 0
        for offset, lanes in chunks(count, self.wide):
            value = piece(begin + offset, lanes)
            parts.append(value if lanes > 1 else T.broadcast(value, 2))
            pick += range(total, total + lanes)
            total += max(lanes, 2)
        parts.append(splat(fill, FLOAT, self.wide))
        pick += range(total, total + self.wide - count)
        return tirx.Shuffle(parts, pick)

    def reduce(
        self,
        step: Callable[[Expr, list[Expr], Expr], Expr],
        combine: Callable[[Expr, Expr], Expr],
        neutral: float,
    ) -> Expr:
        """Combine what `step` returns for all vectors of the row to one number.

        Its arguments are a position in scratch, and an index of the source and how far behind that
        the vector begins; the last vector of a line begins at a known number.
        """
        wide = self.wide
        total = T.alloc_buffer((wide,), FLOAT, scope="local")
        every = T.ramp(0, 1, wide)
        T.buffer_store(total, splat(neutral, FLOAT, wide), [every])
        with self._lines() as (start, index):

            def vector_at(begin: Expr) -> None:
                value = step(start + begin, index, begin)
                T.buffer_store(total, combine(total[every], value), [every])

            if self.padded > 2 * wide:
                with T.serial(0, self.padded // wide - 1) as number:
                    vector_at(number * wide)
                vector_at(self.padded - wide)
            else:
                for begin in range(0, self.padded, wide):
                    vector_at(begin)
        value = T.bind(total[every])
        while wide > 1:
            wide //= 2
            halves = (tirx.Shuffle([value], list(range(k, k + wide))) for k in (0, wide))
            value = T.bind(combine(*halves))
        return held(value, 1)

    def valid(self, begin: Expr, value: Expr) -> Expr:
        """Return a vector with zeros behind the end of the row."""
        if not isinstance(begin, int) or begin + self.wide <= self.size:
            return value
        inside = T.ramp(begin, 1, self.wide) < splat(self.size, "int32", self.wide)
        return tirx.Select(inside, value, splat(0.0, FLOAT, self.wide))

    def finish(self, finish: Callable, value: Callable[[Expr, list[Expr], int], Expr]) -> None:
        """Deliver the results: ``value(element, index in the result, lanes)``."""
        lanes = self.kernel.isa.lanes
        with self._lines() as (start, index):

            def deliver(begin: Expr) -> None:
                at = [begin if a == self.axis else i for a, i in enumerate(index)]

                def read(offset: int, count: int) -> Expr:
                    here = [i + offset if a == self.axis else i for a, i in enumerate(at)]
                    element = self.read(start + begin + offset, count)
                    return value(element, self.rows.place(here), count)

                finish(self.rows.place(at), lanes, read)

            full, rest = divmod(self.size, lanes)
            if full:
                with T.serial(0, full) as number:
                    deliver(number * lanes)
            if rest:
                deliver(full * lanes)


def each_row(kernel: Kernel, source: Array, rows: Rows, body: Callable[[Row], None]) -> None:
    """Call `body` for all rows, which threads share."""
    shape = source.view.shape
    with kernel.parallel([shape[a] for a in rows.kept]) as numbers:
        index: list[Expr] = [0] * len(shape)
        for a, number in zip(rows.kept, numbers, strict=True):
            index[a] = number
        body(Row(kernel, source, rows, index))
