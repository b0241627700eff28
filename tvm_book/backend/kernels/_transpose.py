"""From vectors along one axis to vectors along another, through registers.

Reading or writing with a stride costs an instruction for each element. Here a block of `n` vectors
that lie side by side is read, turned over by interleaving, and written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from ._kernel import Array, Kernel

__all__ = ["interleave", "transposed"]

Expr = Any
WIDTH = 16  # elements of a block's side


def interleave(vectors: Sequence[Expr], lanes: int) -> list[Expr]:
    """Return the elements of equal vectors in turn: all first ones, all second ones, ...

    Element ``p`` of vector ``c`` of ``n`` (a power of two) comes to place ``p * n + c`` of the
    result, cut into vectors of `lanes` again. A round interleaves vector ``i`` with vector
    ``i + n / 2``, which rotates the binary digits of the place by one; ``log2(n)`` rounds do.
    """
    values, half = list(vectors), len(vectors) // 2
    if lanes == 1:
        return values
    low = [i for p in range(lanes // 2) for i in (p, lanes + p)]
    high = [i + lanes // 2 for i in low]
    for _ in range(len(values).bit_length() - 1):
        pairs = zip(values[:half], values[half:], strict=True)
        values = [T.bind(tirx.Shuffle(list(p), half_of)) for p in pairs for half_of in (low, high)]
    return values


def transposed(
    kernel: Kernel,
    out: Array,
    read: int,
    write: int,
    evaluate: Callable[[list[Expr], int], Expr],
    spare: int = 0,
) -> None:
    """Write a tensor along one axis from vectors along another.

    Parameters
    ----------
    kernel : Kernel
    out : Array
        The result; its elements are neighbours on `write`.
    read, write : int
        Axes.
    evaluate : callable
        ``(index, lanes)``: the values of the result at `index` and behind it on `read`.
    spare : int, optional
        How many indices behind the last one of `read` may be evaluated.
    """
    view = out.view
    side = WIDTH if view.dtype in ("int8", "uint8") else min(WIDTH, kernel.isa.lanes)
    size, length = view.shape[write], view.shape[read]
    n = _power(min(side, size + view.slack))
    m = _power(min(side, length + spare))
    if m > n and view.strides[read] != n:
        m = n
    used = min(n, size)
    outer = [a for a in range(len(view.shape)) if a not in (read, write)]
    blocks, steps = -(-size // n), -(-length // m)

    def block(index: list[Expr], start: Expr) -> None:
        """Write `n` indices of `write` at `m` indices of `read`, from `index` on."""
        values = []
        for i in range(used):
            values.append(evaluate([_plus(x, i) if a == write else x for a, x in index], m))
        zero = tirx.const(0, view.dtype)
        values += [zero if m == 1 else T.broadcast(zero, m)] * (n - used)
        for number, value in enumerate(interleave(values, m)):
            place, at = divmod(number * m, n)
            where = [_plus(x, {read: place, write: at}.get(a, 0)) for a, x in index]
            if place + max(m // n, 1) <= length:
                out.store(where, value, write, m)
            elif place < length:
                for p in range(length - place):
                    part = tirx.Shuffle([value], list(range(p * n, p * n + n)))
                    out.store(
                        [_plus(x, p) if a == read else x for a, x in enumerate(where)],
                        part,
                        write,
                        n,
                    )

    with kernel.parallel([*(view.shape[a] for a in outer), blocks]) as (*numbers, number):
        index: list[Expr] = [0] * len(view.shape)
        for a, i in zip(outer, numbers, strict=True):
            index[a] = i
        index[write] = _start(number, n, size)
        with T.serial(0, steps) as step:
            index[read] = _start(step, m, length)
            block(list(enumerate(index)), step)
        if view.slack and view.stored.startswith("float") and n != size + view.slack:
            with T.If(number == blocks - 1), T.Then(), T.serial(0, length) as step:
                out.clear([{read: step, write: size}.get(a, i) for a, i in enumerate(index)])


def _start(number: Expr, width: int, size: int) -> Expr:
    """Return where a block begins; the last one overlaps, so that it ends with the axis."""
    if size <= width:
        return 0
    return number * width if size % width == 0 else T.min(number * width, size - width)


def _plus(value: Expr, number: int) -> Expr:
    return value if number == 0 else value + number


def _power(number: int) -> int:
    return 1 << (number.bit_length() - 1)
