"""Normalization of rows: the mean, then the variance of what is left, then the quotients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tvm.script.ir_builder import tirx as T

from ._functions import fence, splat
from ._kernel import Array, Kernel
from ._rows import Row, Rows, each_row

__all__ = ["normalize"]


def normalize(
    kernel: Kernel,
    source: Array,
    rows: Rows,
    affine: Sequence[Array | None],
    epsilon: float,
    finish: Callable,
    axis: int,
    centred: bool = True,
) -> None:
    """Emit the loops.

    Parameters
    ----------
    kernel : Kernel
    source : Array
        float32.
    rows : Rows
        What has one mean and one variance.
    affine : pair of Array or None
        By what the result is multiplied and what is added, in the shape of the result.
    epsilon : float
        Is added to the variance.
    finish : callable
        ``(index, lanes, read)``.
    axis : int
        Of the result, along which vectors lie.
    centred : bool, optional
        Whether the mean is subtracted; otherwise the mean of the squares is the variance.
    """
    scale, shift = affine

    def add(a, b):
        return a + b

    def work(row: Row) -> None:
        def keep(at, index, begin):
            value = T.bind(row.fetch(index, begin, 0.0))
            row.write(at, value, row.wide)
            return value if centred else value * value

        total = row.reduce(keep, add, 0.0)
        if centred:
            mean = T.bind(total / float(row.count))

            def squared(at, _index, begin):
                value = T.bind(row.valid(begin, row.read(at, row.wide) - mean))
                row.write(at, value, row.wide)
                return value * value

            total = row.reduce(squared, add, 0.0)
        variance = total / float(row.count)
        factor = T.bind(splat(1.0, "float32", 1) / T.sqrt(variance + epsilon))

        def result(value, index, lanes):
            value = value * factor
            if scale is not None:
                value = value * scale.load(index, axis, lanes)
            if shift is not None:
                value = fence(value, lanes) + shift.load(index, axis, lanes)
            return fence(value, lanes)

        row.finish(finish, result)

    each_row(kernel, source, rows, work)
