"""Concatenation: each operand is copied to its place, in vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tvm.script.ir_builder import tirx as T

from ._kernel import Array, Kernel, chunks

__all__ = ["concat"]

UNROLLED = 8  # vectors that are written out; more become a loop


def concat(
    kernel: Kernel, arrays: Sequence[Array], along: int, axis: int, lanes: int, finish: Callable
) -> None:
    """Emit the loops.

    Parameters
    ----------
    kernel : Kernel
    arrays : sequence of Array
        The operands.
    along, axis : int
        The axis of concatenation, and the one along which vectors lie.
    lanes : int
        Elements at a time.
    finish : callable
        ``(index, lanes, read)``; its ``out`` is the result.
    """
    shapes = [array.view.shape for array in arrays]
    rank = len(shapes[0])
    outer = [a for a in range(rank) if a != axis]

    def copy(array: Array, index: list, begin: int) -> None:
        """Copy one line of an operand, whose first element is at `begin` of the result."""

        def piece(start, width: int) -> None:
            at = [start if a == axis else i for a, i in enumerate(index)]
            target = list(at)
            target[along] = target[along] + begin

            def read(first: int, count: int):
                where = [i + first if a == axis else i for a, i in enumerate(at)]
                return array.load(where, axis, count)

            finish(target, width, read)

        full, rest = divmod(array.view.shape[axis], lanes)
        if full > UNROLLED:
            with T.serial(0, full) as number:
                piece(number * lanes, lanes)
        else:
            for number in range(full):
                piece(number * lanes, lanes)
        for start, width in chunks(rest, lanes):
            piece(full * lanes + start, width)

    begins = [sum(shape[along] for shape in shapes[:i]) for i in range(len(shapes))]

    def lines(extents: Sequence[int], work: Callable[[list], None]) -> None:
        with kernel.parallel(extents) as numbers:
            index: list = [0] * rank
            for a, number in zip(outer, numbers, strict=True):
                index[a] = number
            work(index)

    if along != axis:
        for array, begin in zip(arrays, begins, strict=True):

            def one(index: list, array: Array = array, begin: int = begin) -> None:
                copy(array, index, begin)
                at = [i + begin if a == along else i for a, i in enumerate(index)]
                _clear(finish, at, axis)

            lines([array.view.shape[a] for a in outer], one)
        return

    def all_of_them(index: list) -> None:
        # In order: what vectors of one write beyond its end, the next overwrites.
        for array, begin in zip(arrays, begins, strict=True):
            copy(array, index, begin)
        _clear(finish, index, axis)

    lines([shapes[0][a] for a in outer], all_of_them)


def _clear(finish: Callable, index: list, axis: int) -> None:
    """Leave numbers behind the last element of a line."""
    size = finish.out.view.shape[axis]
    finish.out.clear([size if a == axis else i for a, i in enumerate(index)])
