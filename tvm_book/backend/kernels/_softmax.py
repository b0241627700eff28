"""Softmax of rows: the maximum, then exponentials and their sum, then the quotients."""

from __future__ import annotations

import math
from collections.abc import Callable

from tvm.script.ir_builder import tirx as T

from ._functions import exp_normal, fence, log_normal, splat
from ._kernel import Array, Kernel
from ._rows import Row, Rows, each_row

__all__ = ["softmax"]


def softmax(
    kernel: Kernel, source: Array, rows: Rows, finish: Callable, logarithm: bool = False
) -> None:
    """Emit the loops.

    Parameters
    ----------
    kernel : Kernel
    source : Array
        float32.
    rows : Rows
        Over what exponentials are summed.
    finish : callable
        ``(index, lanes, read)``.
    logarithm : bool, optional
        Whether the logarithm of the result is wanted.
    """

    def work(row: Row) -> None:
        def keep(at, index, begin):
            # Behind the end of the row is what adds nothing to the sum.
            value = T.bind(row.fetch(index, begin, -math.inf))
            row.write(at, value, row.wide)
            return value

        top = row.reduce(keep, T.max, -math.inf)

        def exponential(at, _index, _begin):
            value = exp_normal(T.bind(row.read(at, row.wide) - top), row.wide)
            if not logarithm:
                row.write(at, value, row.wide)
            return value

        total = row.reduce(exponential, lambda a, b: a + b, 0.0)
        if logarithm:
            norm = T.bind(log_normal(total, 1))
            row.finish(finish, lambda x, _at, lanes: (x - top) - norm)
        else:
            factor = T.bind(splat(1.0, "float32", 1) / total)
            row.finish(finish, lambda x, _at, lanes: fence(x * factor, lanes))

    each_row(kernel, source, rows, work)
