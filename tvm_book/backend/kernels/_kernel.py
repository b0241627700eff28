"""One kernel under construction: its arrays, loops over them, and loads and stores of vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from ..isa import Isa
from ._view import View

__all__ = ["Array", "Kernel", "chunks", "vector"]

Expr = Any
BIAS = 128  # of an int8 that is stored as uint8


def vector(dtype: str, lanes: int) -> str:
    """Return TIR's name for a vector type."""
    return dtype if lanes == 1 else f"{dtype}x{lanes}"


def chunks(total: int, width: int) -> Iterator[tuple[int, int]]:
    """Cut `total` elements into vectors (begin, lanes): of `width` while they last, then halves."""
    begin = 0
    while begin < total:
        while width > total - begin:
            width //= 2
        yield begin, width
        begin += width


class Array:
    """A parameter of a kernel, seen flat through a view."""

    def __init__(self, kernel: Kernel, name: str, view: View) -> None:
        extent = [tirx.IntImm("int64", n) for n in view.extent]
        parameter = T.arg(name, T.buffer(extent, view.stored))
        self.view = view
        self._flat = parameter
        if len(extent) != 1:
            size = [tirx.IntImm("int64", view.size)]
            self._pending = (size, view.stored, parameter)
            kernel.aliases.append(self)

    def alias(self) -> None:
        """Name the flat form; TIR wants that inside of the body."""
        size, dtype, parameter = self._pending
        self._flat = T.decl_buffer(size, dtype, data=parameter.data)

    @property
    def buffer(self) -> Any:
        """The flat TIR buffer."""
        return self._flat

    def load(self, index: Sequence[Expr], axis: int | None = None, lanes: int = 1) -> Expr:
        """Return `lanes` elements along an axis, as values of the tensor's dtype."""
        view = self.view
        position = view.position(index)
        stride = view.strides[axis] if axis is not None and view.strides else 0
        if lanes == 1 or stride == 0:
            if view.paired and stride:
                position = _in_pairs(position, view.paired, 1)
            value = self._decode(self._flat[position], 1)
            return value if lanes == 1 else T.broadcast(value, lanes)
        if view.paired:
            return self._flat[_in_pairs(T.ramp(position, 1, lanes), view.paired, lanes)]
        return self._decode(self._flat[T.ramp(position, stride, lanes)], lanes)

    def halves(self, index: Sequence[Expr], axis: int, lanes: int) -> tuple[Expr, Expr] | Expr:
        """Return 64-bit elements for arithmetic on pairs.

        Of a paired array those of the even and of the odd lanes; of one that is stored narrow the
        vector as it is; of one that is constant along the axis the number.
        """
        position, half = self.view.position(index), lanes // 2
        if not self.view.strides or self.view.strides[axis] == 0:
            return self._decode(self._flat[position], 1)
        if not self.view.paired:
            return self._flat[T.ramp(position, 1, lanes)]
        return tuple(self._flat[T.ramp(position + at, 1, half)] for at in (0, half))

    def store(self, index: Sequence[Expr], value: Expr, axis: int | None, lanes: int) -> None:
        """Write `lanes` values of the tensor's dtype along an axis."""
        position = self.view.position(index)
        value = self._encode(value, lanes)
        where = position if lanes == 1 else T.ramp(position, self.view.strides[axis], lanes)
        T.buffer_store(self._flat, value, [where])

    def clear(self, index: Sequence[Expr], done: int = 0) -> None:
        """Zero the slack, which begins at `index`, but for the first `done` elements of it.

        What is multiplied by a zero weight must be a number.
        """
        if not self.view.stored.startswith("float"):
            return
        position = self.view.position(index) + done
        for begin, lanes in chunks(self.view.slack - done, 16):
            zero = _splat(tirx.const(0.0, self.view.stored), lanes)
            where = position + begin if lanes == 1 else T.ramp(position + begin, 1, lanes)
            T.buffer_store(self._flat, zero, [where])

    def clear_behind(self, index: Sequence[Expr], axis: int, lanes: int) -> None:
        """Zero what the last vector of a line leaves of the slack, if `index` is its place."""
        size = self.view.shape[axis]
        done = -size % lanes
        if self.view.slack <= done or not self.view.stored.startswith("float"):
            return
        end = [size if a == axis else i for a, i in enumerate(index)]
        start = index[axis]
        if not isinstance(start, int):
            with T.If(start + lanes >= size), T.Then():
                self.clear(end, done)
        elif start + lanes >= size:
            self.clear(end, done)

    def _decode(self, value: Expr, lanes: int) -> Expr:
        if self.view.stored == self.view.dtype:
            return value
        if (self.view.stored, self.view.dtype) == ("uint8", "int8"):
            flip = _splat(T.uint8(BIAS), lanes)
            return T.reinterpret(vector("int8", lanes), T.bitwise_xor(value, flip))
        return T.cast(value, vector(self.view.dtype, lanes))

    def _encode(self, value: Expr, lanes: int) -> Expr:
        if self.view.stored == self.view.dtype:
            return value
        flip = _splat(T.uint8(BIAS), lanes)
        return T.bitwise_xor(T.reinterpret(vector("uint8", lanes), value), flip)

    def stored_fill(self) -> Expr:
        """Return the view's fill as an element of the array."""
        fill = self.view.fill
        if self.view.stored == "uint8" and self.view.dtype == "int8":
            return T.uint8(int(fill) + BIAS)
        return tirx.const(fill, self.view.stored)


def _in_pairs(number: Expr, width: int, lanes: int) -> Expr:
    """Return where an element of a paired array lies that would be at `number`."""
    run, two, half = (_splat(tirx.const(n, "int32"), lanes) for n in (width, 2, width // 2))
    return number // run * run + number % two * half + number % run // two


def _splat(value: Expr, lanes: int) -> Expr:
    return value if lanes == 1 else T.broadcast(value, lanes)


class Kernel:
    """Collects a TIR function.

    Parameters
    ----------
    isa : Isa
        What the kernel may use.
    threads : int
        How many threads the loops are cut for; any number may run them.
    """

    def __init__(self, isa: Isa, threads: int) -> None:
        self.isa = isa
        self.threads = threads
        self.aliases: list[Array] = []
        self._names = 0

    def build(
        self, name: str, inputs: Sequence[View], outputs: Sequence[View], body: Callable
    ) -> tirx.PrimFunc:
        """Return the function ``name(*inputs, *outputs)``; ``body(inputs, outputs)`` fills it."""
        with IRBuilder() as builder:
            with T.prim_func():
                T.func_name(name)
                T.func_attr({"tirx.noalias": True})
                arrays = [Array(self, f"x{i}", view) for i, view in enumerate(inputs)]
                results = [Array(self, f"y{i}", view) for i, view in enumerate(outputs)]
                for array in self.aliases:
                    array.alias()
                for array in results:
                    fill_halo(array)
                body(arrays, results)
        return builder.get()

    @contextmanager
    def parallel(self, extents: Sequence[int]):
        """Loop over all combinations of indices, shared among threads, last index fastest."""
        total = math.prod(extents)
        kind = T.parallel if total > 1 and self.threads > 1 else T.serial
        with kind(0, total) as item:
            yield unravel(item, extents)


def unravel(item: Expr, extents: Sequence[int]) -> list[Expr]:
    """Return the indices that a running number stands for, last index fastest."""
    index: list[Expr] = []
    for axis, extent in enumerate(extents):
        inner = math.prod(extents[axis + 1 :])
        value = item if inner == 1 else item // inner
        if axis and extent != 1:
            value = value % extent
        index.append(0 if extent == 1 else value)
    return index


def fill_halo(array: Array) -> None:
    """Write the fill around a tensor of channels-last images."""
    view = array.view
    rings = [axis for axis, (before, after) in enumerate(view.halo) if before or after]
    if not rings:
        return
    value = array.stored_fill()
    axis = view.vector_axis()
    if axis is None:  # a single channel
        axis = next((a for a, s in enumerate(view.strides) if s == 1 and a not in rings), None)
    for ring in rings:
        # Around the vector axis itself one element at a time.
        row = 1 if axis is None or ring == axis else view.shape[axis] + view.slack
        others = [a for a in range(len(view.shape)) if a != ring and (a != axis or ring == axis)]
        spans = [(0 if a not in rings else -view.halo[a][0], a) for a in others]
        sizes = [view.shape[a] + sum(view.halo[a]) if a in rings else view.shape[a] for a in others]
        before, after = view.halo[ring]
        for first, count in ((-before, before), (view.shape[ring], after)):
            if count:
                _fill(array, value, ring, (first, count), spans, sizes, axis, row)


def _fill(array, value, ring, run, spans, sizes, axis, row) -> None:
    with T.serial(0, math.prod(sizes) * run[1]) as item:
        *rest, along = unravel(item, [*sizes, run[1]])
        index: list[Expr] = [0] * len(array.view.shape)
        for (first, other), number in zip(spans, rest, strict=True):
            index[other] = number + first
        index[ring] = along + run[0]
        position = array.view.position(index)
        for begin, lanes in chunks(row, 64):
            where = position + begin if lanes == 1 else T.ramp(position + begin, 1, lanes)
            T.buffer_store(array.buffer, _splat(value, lanes), [where])
