"""Sums and maxima over axes: several partial results at a time, each a lane of a vector."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from ._kernel import Array, Kernel, chunks, unravel

__all__ = ["Reduction", "reduce"]

Expr = Any
WIDE = 4  # vectors of partial results, so that none waits for the one before


@dataclass(frozen=True)
class Reduction:
    """What is combined, and to what.

    Attributes
    ----------
    kept : int
        How many axes of the input stay; they come first.
    axes : tuple of int
        Where each of them is in the output.
    rank : int
        Axes of the output.
    dtype : str
        In which elements are combined.
    load : callable
        ``(array, index, axis, lanes)``: some elements of the input, in that dtype.
    combine : callable
        ``(a, b)``.
    neutral : int or float
        What changes nothing.
    result : callable
        ``(value, lanes)``: the output.
    """

    kept: int
    axes: tuple[int, ...]
    rank: int
    dtype: str
    load: Callable[[Array, list[Expr], int, int], Expr]
    combine: Callable[[Expr, Expr], Expr]
    neutral: float
    result: Callable[[Expr, int], Expr]


def reduce(kernel: Kernel, what: Reduction, source: Array, axis: int, finish: Callable) -> None:
    """Emit the loops.

    Parameters
    ----------
    kernel : Kernel
    what : Reduction
    source : Array
        The input, its kept axes before the others.
    axis : int
        Which kept axis the results lie along; if its elements are neighbours, they are the lanes.
        Otherwise each result is reduced from a vector, and as many results as lanes are collected.
    finish : callable
        ``(index, lanes, read)``.
    """
    shape, strides = source.view.shape, source.view.strides
    size = shape[axis]
    direct = strides[axis] == 1 and size > 1
    lanes = kernel.isa.lanes
    if direct:
        lanes *= next((n for n in (WIDE, 2) if size >= n * lanes), 1)
    full, rest = divmod(size, lanes)
    others = [a for a in range(what.kept) if a != axis]
    work = _vector if direct else _collect

    def block(numbers: list[Expr], start: Expr, count: int) -> None:
        index: list[Expr] = [0] * len(shape)
        for a, number in zip(others, numbers, strict=True):
            index[a] = number
        index[axis] = start
        acc = T.alloc_buffer((lanes,), what.dtype, scope="local")
        work(kernel, what, source, acc, index, axis, count, lanes)
        place: list[Expr] = [0] * what.rank
        for a, target in enumerate(what.axes):
            place[target] = index[a]
        finish(place, lanes, lambda at, n: what.result(_read(acc, at, n), n))

    with kernel.parallel([*(shape[a] for a in others), full + bool(rest)]) as (*numbers, number):
        if full and rest:
            with T.If(number < full):
                with T.Then():
                    block(numbers, number * lanes, lanes)
                with T.Else():
                    block(numbers, full * lanes, rest)
        else:
            block(numbers, number * lanes, lanes if full else rest)


def _vector(kernel, what, source, acc, index, axis, count, lanes) -> None:
    """Reduce `count` neighbours at a time, element by element of the other axes."""
    _clear(what, acc, lanes)
    whole = count == lanes or source.view.slack >= lanes - count
    pieces = list(chunks(lanes if whole else count, lanes))

    def step(at: list[Expr]) -> None:
        for begin, width in pieces:
            where = [i + begin if a == axis else i for a, i in enumerate(at)]
            _take(what, acc, begin, what.load(source, where, axis, width), width)

    _loops(source.view.shape, range(what.kept, len(source.view.shape)), index, step)


def _collect(kernel, what, source, acc, index, axis, count, lanes) -> None:
    """Reduce along the vectors of the input, `count` results one after the other."""
    shape, strides = source.view.shape, source.view.strides
    reduced = list(range(what.kept, len(shape)))
    units = [a for a in reduced if strides[a] == 1 and shape[a] > 1]
    inner = units[-1] if units else max(reduced, key=lambda a: shape[a], default=axis)
    length = shape[inner] if reduced else 1
    wide = kernel.isa.lanes
    wide *= next((n for n in (WIDE, 2) if length >= n * wide), 1)
    while wide > max(length, 1):
        wide //= 2
    parts = T.alloc_buffer((wide,), what.dtype, scope="local")
    if count < lanes:
        _clear(what, acc, lanes)

    def row(number: Expr) -> None:
        _clear(what, parts, wide)
        at = [i + number if a == axis else i for a, i in enumerate(index)]

        def step(at: list[Expr]) -> None:
            full, rest = divmod(length, wide)

            def piece(begin: Expr, width: int) -> None:
                where = [begin if a == inner and reduced else i for a, i in enumerate(at)]
                _take(what, parts, 0, what.load(source, where, inner, width), width)

            with T.serial(0, full) as k:
                piece(k * wide, wide)
            for begin, width in chunks(rest, wide):
                piece(full * wide + begin, width)

        _loops(shape, [a for a in reduced if a != inner], at, step)
        width = wide
        while width > 1:
            width //= 2
            _take(what, parts, 0, _read(parts, width, width), width)
        T.buffer_store(acc, parts[0], [number])

    if count == 1:
        row(0)
    else:
        with T.serial(0, count) as number:
            row(number)


def _loops(shape, axes, index: list[Expr], step: Callable[[list[Expr]], None]) -> None:
    """Call `step` for all indices of some axes."""
    axes = [a for a in axes if shape[a] > 1]
    extents = [shape[a] for a in axes]
    if not axes:
        step(index)
        return
    if len(axes) == 1:
        with T.serial(0, extents[0]) as k:
            step([k if a == axes[0] else i for a, i in enumerate(index)])
        return
    with T.serial(0, math.prod(extents)) as item:
        numbers = dict(zip(axes, unravel(item, extents), strict=True))
        step([numbers.get(a, i) for a, i in enumerate(index)])


def _clear(what: Reduction, acc: Any, lanes: int) -> None:
    value = tirx.const(what.neutral, what.dtype)
    where = 0 if lanes == 1 else T.ramp(0, 1, lanes)
    T.buffer_store(acc, value if lanes == 1 else T.broadcast(value, lanes), [where])


def _take(what: Reduction, acc: Any, begin: int, value: Expr, lanes: int) -> None:
    where = begin if lanes == 1 else T.ramp(begin, 1, lanes)
    T.buffer_store(acc, what.combine(acc[where], value), [where])


def _read(acc: Any, position: int, lanes: int) -> Expr:
    return acc[position] if lanes == 1 else acc[T.ramp(position, 1, lanes)]
