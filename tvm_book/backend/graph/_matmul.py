"""Matrix products of tensors with constant weights, or with each other."""

from __future__ import annotations

import math
from typing import Any

from tvm import relax
from tvm.ir import GenericConst

from ...quantize._graph import to_numpy
from ..kernels._blocking import choose
from ..kernels._gemm import Loop, Nest, gemm, pack
from ..kernels._kernel import chunks  # noqa: F401
from ._conv import begin_values, constants, product_types
from ._fuse import Group, shape_of
from ._layout import MULTIPLE, allocate

__all__ = ["accepts", "plan"]


def accepts(walk: Any, var: relax.Var) -> bool:
    """Whether there is a kernel: a constant matrix on the right."""
    call = walk.graph.bindings[var]
    a, b = call.args
    return (
        isinstance(b, GenericConst)
        and len(shape_of(b)) == 2
        and len(shape_of(a)) >= 2
        and product_types(call) is not None
    )


def plan(walk: Any, group: Group) -> Any:
    """Return loops over the rows of all matrices on the left."""
    from ._lower import Plan

    call = walk.graph.bindings[group.anchor]
    kind = product_types(call)
    dot = getattr(walk.isa, kind)
    weights = to_numpy(call.args[1])
    depth, columns = weights.shape
    shape = shape_of(group.anchor)
    last = len(shape) - 1
    value = rows_of(walk, call.args[0], dot)
    view = value.view
    begin, swallowed = begin_values(walk, group, weights.T, last)
    missing = -depth % dot.group
    matrix = _padded(weights, missing)
    nest = Nest(
        outer=tuple(Loop(n, s, a) for a, (n, s) in enumerate(zip(shape, view.strides))[: last - 1])
        if False
        else tuple(Loop(shape[a], view.strides[a], a) for a in range(last - 1)),
        rows=Loop(shape[last - 1], view.strides[last - 1], last - 1),
        columns=columns,
        column_axis=last,
        taps=(),
        run=depth + missing,
        start=view.offset,
    )
    outer = math.prod(loop.extent for loop in nest.outer)
    blocking = choose(walk.isa, dot, (nest.rows.extent, columns, nest.depth), outer, walk.threads)
    inputs = [(value.expr, view), *constants(pack(matrix, dot), begin)]

    def body(kernel, arrays, finish):
        gemm(kernel, dot, nest, blocking, (*arrays, None)[:3], finish)

    operations = 2 * math.prod(shape) * depth
    return Plan(inputs, body, f"matmul_{kind}", kind, operations, swallowed, last)


def rows_of(walk: Any, expr: relax.Expr, dot: Any) -> Any:
    """Return the left operand with contiguous rows of whole groups."""
    value = walk.value(expr)
    view, last = value.view, len(value.view.shape) - 1
    depth = view.shape[last]
    unit = view.strides[last] == 1 or depth == 1
    if view.stored == dot.a and unit and view.slack >= -depth % dot.group:
        return value
    return walk.copy(value, allocate(view.shape, view.dtype, last, multiple=MULTIPLE))


def _padded(weights: Any, missing: int) -> Any:
    import numpy as np

    return np.pad(weights, [(0, missing), (0, 0)])
