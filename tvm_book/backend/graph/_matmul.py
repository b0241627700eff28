"""Matrix products of tensors with constant weights, or with each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tvm import relax
from tvm.ir import GenericConst

from ...quantize._graph import Graph, op_name, to_numpy
from ..isa import Dot
from ..kernels._blocking import choose
from ..kernels._gemm import Loop, Nest, gemm, pack
from ..kernels._gemm_amx import run_length
from ..kernels._kernel import BIAS, unravel
from ..kernels._pack import pack_activations, packed_views
from ..kernels._view import View, dense
from ._conv import begin_values, constants, product_types
from ._fuse import Group, shape_of
from ._layout import MULTIPLE, allocate
from ._plan import Plan

__all__ = ["accepts", "plan", "zero_point_term"]

ENOUGH_ROWS = 64  # of a matrix; then a last block of fewer rows costs little


def accepts(walk: Any, var: relax.Var) -> bool:
    """Whether there is a kernel: both operands are matrices, or batches of them."""
    call = walk.graph.bindings[var]
    sizes = [shape_of(arg) for arg in call.args]
    known = product_types(call) is not None and all(len(size) >= 2 for size in sizes)
    return known and all(math.prod(size) for size in sizes)


def plan(walk: Any, group: Group) -> Any:
    """Return loops over the rows of all matrices on the left."""
    call = walk.graph.bindings[group.anchor]
    kind = product_types(call)
    dot: Dot = getattr(walk.isa, kind)
    shape = shape_of(group.anchor)
    left = _left(walk, call.args[0], dot)
    depth = left.view.shape[-1]
    run = run_length(depth, dot, left.view.beyond)
    batch, inputs, swallowed = _right(walk, group, call.args[1], dot, run)
    panels = -(-shape[-1] // dot.lanes)
    matrix = panels * run * dot.lanes
    outer = _loops(shape[:-2], left.view, batch, matrix, panels * dot.lanes)
    outer, rows, split = _merge(outer, Loop(shape[-2], left.view.strides[-2], len(outer)))
    nest = Nest(
        outer=tuple(outer),
        rows=rows,
        columns=shape[-1],
        column_axis=len(outer) + 1,
        taps=(),
        run=run,
        start=left.view.offset,
    )
    count = math.prod(loop.extent for loop in outer)
    sizes = (rows.extent, shape[-1], nest.depth)
    blocking = choose(walk.isa, dot, sizes, count, walk.threads, stride=rows.a)

    def body(kernel, arrays, finish):
        def each(index, lanes, read):
            finish([*split(index[:-1]), index[-1]], lanes, read)

        gemm(kernel, dot, nest, blocking, (*arrays, None)[:3], each)

    operations = 2 * math.prod(shape) * depth
    inputs = [(left.expr, left.view), *inputs]
    return Plan(inputs, body, f"matmul_{kind}", kind, operations, swallowed, len(shape) - 1)


def zero_point_term(graph: Graph, group: Group) -> tuple[relax.Var, relax.Var, int] | None:
    """Find what corrects a product for the zero point of its left operand.

    That is ``product + c * sum(right, axis=-2)``. The sums of the right operand's columns are made
    anyway while it is packed, so the term costs nothing.

    Returns
    -------
    tuple or None
        The addition, its other operand, and ``c``.
    """
    right = graph.bindings[group.anchor].args[1]
    for var in group.members:
        call = graph.bindings[var]
        if op_name(call) != "relax.add" or group.anchor not in call.args:
            continue
        other = call.args[1] if call.args[0] == group.anchor else call.args[0]
        term = graph.bindings.get(other) if isinstance(other, relax.Var) else None
        if op_name(term) != "relax.multiply" or not isinstance(term.args[1], GenericConst):
            continue
        total, factor = graph.value(term.args[0]), to_numpy(term.args[1])
        if op_name(total) != "relax.sum" or factor.size != 1 or not total.attrs.keepdims:
            continue
        axes = [int(a) % len(total.ty.shape) for a in total.attrs.axis or ()]
        wide = graph.value(total.args[0])
        same = op_name(wide) == "relax.astype" and str(wide.ty.dtype) == "int32"
        if same and wide.args[0] == right and axes == [len(total.ty.shape) - 2]:
            return var, other, int(factor.reshape(()))
    return None


def _merge(outer: list[Loop], rows: Loop) -> tuple[list[Loop], Loop, Callable[[list], list]]:
    """Let matrices of few rows that lie behind each other be one, as far as strides allow.

    Returns
    -------
    outer, rows
        The new loops.
    split : callable
        Makes their indices into those of the tensor.
    """
    sizes: list[int] = [rows.extent]
    block = 1  # indices of the last outer loop that became rows, where not all did
    while outer and block == 1 and (rows.extent < ENOUGH_ROWS or outer[-1].extent == 1):
        loop = outer[-1]
        follows = 1 in (loop.extent, rows.extent) or loop.a == rows.extent * rows.a
        if loop.b or not follows:
            break
        taken = next(
            n
            for n in range(1, loop.extent + 1)
            if n == loop.extent or (loop.extent % n == 0 and n * rows.extent >= ENOUGH_ROWS)
        )
        step = rows.a if rows.extent > 1 else loop.a
        sizes.insert(0, taken)
        if taken < loop.extent:
            block = taken
            outer = [*outer[:-1], replace(loop, extent=loop.extent // taken, a=loop.a * taken)]
        else:
            outer = outer[:-1]
        rows = Loop(rows.extent * taken, step, len(outer))

    def split(index: list[Any]) -> list[Any]:
        *first, row = index
        inner = unravel(row, sizes)
        if block > 1:
            *first, last = first
            inner[0] = last * block + inner[0]
        return [*first, *inner]

    return outer, rows, split


def _loops(
    shape: Sequence[int], left: View, batch: Sequence[int], matrix: int, columns: int
) -> list[Loop]:
    """Return loops over the axes of a batch; an operand repeats where it has one index."""
    strides = left.broadcast((*shape, *left.shape[-2:])).strides
    loops, count = [], 1
    sizes = (1,) * (len(shape) - len(batch)) + tuple(batch)
    for axis in reversed(range(len(shape))):
        step = count if sizes[axis] > 1 else 0
        loops.insert(0, Loop(shape[axis], strides[axis], axis, step * matrix, step * columns))
        count *= sizes[axis]
    return loops


def _left(walk: Any, expr: relax.Expr, dot: Dot) -> Any:
    """Return the left operand with contiguous rows of whole groups."""
    if isinstance(expr, GenericConst):
        return _constant_left(walk, expr, dot)
    value = walk.value(expr)
    view, last = value.view, len(value.view.shape) - 1
    depth = view.shape[last]
    unit = view.strides[last] == 1 or (depth == 1 and dot.group == 1)
    if view.stored == dot.a and unit and view.slack >= -depth % dot.group:
        return value
    return walk.copy(value, allocate(view.shape, view.dtype, last, multiple=MULTIPLE))


def _constant_left(walk: Any, expr: relax.Expr, dot: Dot) -> Any:
    array = to_numpy(expr)
    missing = -array.shape[-1] % dot.group
    full = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)])
    if array.dtype == np.int8:
        full = (full.astype("int16") + BIAS).astype("uint8")
    view = replace(dense(full.shape, str(array.dtype)), shape=array.shape, stored=dot.a)
    return type(walk.value(expr))(relax.const(full, dot.a), replace(view, slack=missing))


def _right(
    walk: Any, group: Group, expr: relax.Expr, dot: Dot, run: int
) -> tuple[tuple[int, ...], list[tuple[relax.Expr, View]], relax.Var | None]:
    """Return its batch, the packed matrix with what sums begin with, and what that contains."""
    if isinstance(expr, GenericConst):
        return _constant_right(walk, group, to_numpy(expr), dot, run)
    value, factor, swallowed = walk.value(expr), 0, None
    if dot.acc == "int32":
        term = zero_point_term(walk.graph, group)
        factor = -BIAS
        if term is not None:
            swallowed, factor = term[0], factor + term[2]
    views = packed_views(value.view.shape, dot, run, bool(factor))

    def body(kernel, arrays, results):
        pack_activations(kernel, dot, run, arrays[0], results[0], (*results, None)[1], factor)

    packed = walk.call_many("pack_" + dot.b, [(value.expr, value.view)], views, body)
    return value.view.shape[:-2], list(zip(packed, views, strict=True)), swallowed


def _constant_right(walk: Any, group: Group, weights: np.ndarray, dot: Dot, run: int) -> Any:
    *batch, depth, columns = weights.shape
    padded = np.pad(weights, [(0, 0)] * len(batch) + [(0, run - depth), (0, 0)])
    if math.prod(batch) == 1:
        matrix = weights.reshape(depth, columns)
        axis = len(shape_of(group.anchor)) - 1
        begin, swallowed = begin_values(walk, group, matrix.T, axis)
        return (), constants(pack(padded.reshape(-1, columns), dot), begin), swallowed
    begin = None
    if dot.acc == "int32":
        begin = -BIAS * weights.astype("int32").sum(axis=-2, dtype="int32")
        begin = np.pad(begin, [(0, 0)] * len(batch) + [(0, -columns % dot.lanes)])
    return tuple(batch), constants(pack(padded, dot), begin), None
