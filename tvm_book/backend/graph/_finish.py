"""The end of every kernel: the elementwise operators of a group, and the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script.ir_builder import tirx as T

from ..kernels._kernel import Array, chunks
from ._program import Program

__all__ = ["Finish"]


class Finish:
    """Computes a program on sums that an anchor delivers, and stores the result."""

    def __init__(self, program: Program, arrays: dict[Any, Array], out: Array, axis: int) -> None:
        self.program, self.arrays, self.out, self.axis = program, arrays, out, axis
        views = [out.view, *(array.view for array in arrays.values())]
        self.size = out.view.shape[axis]
        # How many elements behind the last one may be computed along.
        self.spare = min(
            (v.slack for v in views if v.strides[axis] == 1),
            default=0,
        )
        if any(v.strides[axis] not in (0, 1) for v in views):
            self.spare = 0

    def __call__(self, index: list[Any], lanes: int, read: Callable[[int, int], Any]) -> None:
        rest = self.size % lanes
        if rest == 0 or self.spare >= lanes - rest:
            self._store(index, 0, lanes, read)
            self.out.clear_behind(index, self.axis, lanes)
            return
        start = index[self.axis]
        if isinstance(start, int):
            self._pieces(index, min(lanes, self.size - start), lanes, read)
            return
        with T.If(start + lanes <= self.size):
            with T.Then():
                self._store(index, 0, lanes, read)
            with T.Else():
                self._pieces(index, rest, lanes, read)

    def _pieces(self, index, count, lanes, read) -> None:
        for begin, width in chunks(count, lanes):
            self._store(index, begin, width, read)
        self.out.clear([i + count if a == self.axis else i for a, i in enumerate(index)])

    def _store(self, index, begin, lanes, read) -> None:
        at = [i + begin if a == self.axis else i for a, i in enumerate(index)]
        value = self.program.value(self.arrays, at, self.axis, lanes, read(begin, lanes))
        self.out.store(at, value, self.axis, lanes)
