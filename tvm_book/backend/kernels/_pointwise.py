"""A loop over all elements, in vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script.ir_builder import tirx as T

from ._kernel import Kernel
from ._view import View

__all__ = ["pointwise"]


def pointwise(
    kernel: Kernel,
    view: View,
    axis: int,
    finish: Callable[[list[Any], int, Callable | None], None],
    exact: bool = False,
) -> None:
    """Call `finish` for all vectors of a tensor.

    Parameters
    ----------
    kernel : Kernel
    view : View
        Where the result goes.
    axis : int
        Along which vectors lie.
    finish : callable
        ``(index, lanes, read)``; there is nothing to read.
    exact : bool, optional
        Whether the last vector is as short as the tensor; otherwise `finish` sees to that.
    """
    lanes = kernel.isa.lanes
    outer = [a for a in range(len(view.shape)) if a != axis]
    size = view.shape[axis] if view.shape else 1
    rows = [view.shape[a] for a in outer]
    shared, inner = (rows[:-1], rows[-1:]) if len(rows) > 1 else (rows, [])

    def vectors(index: list[Any]) -> None:
        full, rest = divmod(size, lanes)

        def at(number: Any) -> list[Any]:
            return [number * lanes if a == axis else i for a, i in enumerate(index)]

        if full == 1:
            finish(at(0), lanes, _nothing)
        elif full:
            with T.serial(0, full) as number:
                finish(at(number), lanes, _nothing)
        if rest:
            finish(at(full), rest if exact else lanes, _nothing)

    with kernel.parallel(shared) as numbers:
        index: list[Any] = [0] * len(view.shape)
        for a, number in zip(outer, numbers, strict=False):
            index[a] = number
        if not inner or inner[0] == 1:
            vectors(index)
        else:
            with T.serial(0, inner[0]) as number:
                index[outer[-1]] = number
                vectors(index)


def _nothing(begin: int, lanes: int) -> None:
    return None
