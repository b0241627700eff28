"""Convolutions as matrix products: which loops they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tvm import relax
from tvm.ir import GenericConst

from ...quantize._graph import op_name, to_numpy
from ..isa import Dot
from ..kernels._blocking import choose
from ..kernels._depthwise import depthwise
from ..kernels._gemm import Loop, Nest, gemm, pack
from ..kernels._kernel import BIAS
from ..kernels._view import View
from ._fuse import Group, shape_of
from ._layout import MULTIPLE, allocate
from ._program import per_channel

__all__ = ["accepts", "begin_values", "plan", "product_types"]

CHANNELS = 1  # the axis of NCHW


def product_types(call: relax.Call) -> str | None:
    """Return what a product multiplies, ``"int8"`` or ``"float32"``; None if it is neither."""
    a, b = (str(arg.ty.dtype) for arg in call.args[:2])
    kinds = {("int8", "int8", "int32"): "int8", ("float32", "float32", "float32"): "float32"}
    return kinds.get((a, b, str(call.ty.dtype)))


def accepts(walk: Any, var: relax.Var) -> bool:
    """Whether there is a kernel: constant weights, in the usual layout."""
    call = walk.graph.bindings[var]
    attrs = call.attrs
    layouts = (attrs.data_layout, attrs.kernel_layout, attrs.out_layout or attrs.data_layout)
    return (
        isinstance(call.args[1], GenericConst)
        and layouts == ("NCHW", "OIHW", "NCHW")
        and product_types(call) is not None
    )


def plan(walk: Any, group: Group) -> Any:
    """Return loops over output positions and channels."""
    from ._lower import Plan

    call = walk.graph.bindings[group.anchor]
    kind = product_types(call)
    dot: Dot = getattr(walk.isa, kind)
    weights, attrs = to_numpy(call.args[1]), call.attrs
    groups = int(attrs.groups)
    out_channels, in_channels, height, width = weights.shape
    operations = 2 * math.prod(shape_of(group.anchor)) * in_channels * height * width
    name = f"conv{height}x{width}_{kind}"
    begin, swallowed = begin_values(walk, group, weights.reshape(out_channels, -1), CHANNELS)
    value = _images(walk, call.args[0], dot, attrs, in_channels * groups)
    if groups == in_channels * groups == out_channels and groups > 1:
        body, inputs = depthwise(dot, call, value.view, weights, begin, walk.isa)
        inputs = [(value.expr, value.view), *inputs]
        return Plan(inputs, body, "depthwise_" + name, kind, operations, swallowed, CHANNELS)
    nest, matrix = _nest(dot, call, value.view, weights, groups)
    rows = (nest.rows.extent, nest.columns, nest.depth)
    outer = math.prod(loop.extent for loop in nest.outer)
    blocking = choose(walk.isa, dot, rows, outer, walk.threads, nest.shift[0])
    inputs = [(value.expr, value.view), *constants(pack(matrix, dot), begin)]

    def body(kernel, arrays, finish):
        gemm(kernel, dot, nest, blocking, (*arrays, None)[:3], finish)

    return Plan(inputs, body, name, kind, operations, swallowed, CHANNELS)


def constants(*arrays: np.ndarray | None) -> list[tuple[relax.Expr, View]]:
    """Return arrays as operands of a kernel; a missing one is left out."""
    found = []
    for array in arrays:
        if array is not None:
            flat = np.ascontiguousarray(array).reshape(-1)
            view = View(flat.shape, str(flat.dtype), str(flat.dtype), flat.shape, (1,))
            found.append((relax.const(flat, str(flat.dtype)), view))
    return found


def begin_values(
    walk: Any, group: Group, rows: np.ndarray, axis: int
) -> tuple[np.ndarray | None, relax.Var | None]:
    """Return what sums begin with, a value for each column, and the bias that it contains.

    Unsigned activations are 128 more than their values, so int8 sums begin at minus 128 times the
    sum of the weights; a bias that follows is added here.

    Parameters
    ----------
    walk, group
    rows : numpy.ndarray
        The weights (columns, depth).
    axis : int
        The output's axis of columns.
    """
    begin = None
    if rows.dtype == np.int8:
        begin = -BIAS * rows.astype("int64").sum(axis=1)
    bias = _bias(walk, group, axis, rows.shape[0])
    if bias is not None:
        var, values = bias
        begin = values if begin is None else begin + values
    if begin is None:
        return None, None
    padded = np.zeros(-(-begin.size // MULTIPLE) * MULTIPLE, begin.dtype)
    padded[: begin.size] = begin
    dtype = "int32" if rows.dtype == np.int8 else "float32"
    return padded.astype(dtype), bias[0] if bias is not None else None


def _bias(walk: Any, group: Group, axis: int, columns: int) -> tuple[relax.Var, np.ndarray] | None:
    """Find the addition of a constant for each column right behind the anchor."""
    for var in group.members:
        call = walk.graph.bindings[var]
        if op_name(call) != "relax.add":
            continue
        for a, b in (call.args, call.args[::-1]):
            if a == group.anchor and isinstance(b, GenericConst):
                values = per_channel(to_numpy(b), len(shape_of(var)), axis)
                if values is not None:
                    wide = "int64" if values.dtype.kind == "i" else "float32"
                    return var, np.broadcast_to(values.astype(wide), (columns,))
    return None


def _images(walk: Any, expr: relax.Expr, dot: Dot, attrs: Any, channels: int) -> Any:
    """Return the input padded, channels last, and with whole groups of channels."""
    value = walk.value(expr)
    top, left, bottom, right = (int(p) for p in attrs.padding)
    widths = [(0, 0), (0, 0), (top, bottom), (left, right)]
    view = value.view.pad(widths, 0.0)
    missing = -channels % dot.group
    if (
        view is None
        or view.stored != dot.a
        or (channels > 1 and view.strides[CHANNELS] != 1)
        or view.slack < missing
    ):
        multiple = max(dot.group, 4) if channels <= 4 else MULTIPLE
        target = allocate(
            value.view.shape, value.view.dtype, CHANNELS, widths, 0.0, multiple
        )
        value = walk.copy(value, target)
        view = value.view.pad(widths, 0.0)
    return type(value)(value.expr, view)


def _nest(
    dot: Dot, call: relax.Call, view: View, weights: np.ndarray, groups: int
) -> tuple[Nest, np.ndarray]:
    """Return the loops, and the weights as a matrix (depth, columns) in their order."""
    out_channels, in_channels, height, width = weights.shape
    (down, right), (dy, dx) = (
        tuple(int(n) for n in pair) for pair in (call.attrs.strides, call.attrs.dilation)
    )
    batch, _, rows, columns = shape_of(call)
    n, _, y, x = view.strides
    shift, taken = (0, 0), in_channels
    kernel = weights.transpose(2, 3, 1, 0)  # height, width, input, output
    if groups > 1:
        kernel, taken, shift = _grouped(weights, groups, dot)
    missing = -taken % dot.group
    together = groups == 1 and dx == 1 and taken + missing <= x
    whole = x if together and width > 1 else taken + missing
    if whole - taken > (view.slack if together else missing) and whole > taken + missing:
        together, whole = False, taken + missing
    full = np.zeros((height, width, whole, out_channels), weights.dtype)
    full[:, :, :taken] = kernel
    taps = [Loop(height, y * dy)]
    run = whole
    if together and width > 1:
        run = width * whole
    else:
        taps.append(Loop(width, x * dx))
    nest = Nest(
        outer=(Loop(batch, n, 0), Loop(rows, y * down, 2)),
        rows=Loop(columns, x * right, 3),
        columns=out_channels,
        column_axis=CHANNELS,
        taps=tuple(taps),
        run=run,
        start=view.offset,
        shift=shift,
    )
    return nest, full.reshape(-1, out_channels)


def _grouped(
    weights: np.ndarray, groups: int, dot: Dot
) -> tuple[np.ndarray, int, tuple[int, int]]:
    """Return weights for vectors of output channels, zero where another group's inputs are.

    A vector of output channels belongs to one group or to several whole ones, where the sizes
    allow; then it reads the inputs of these only. Otherwise every channel reads all.
    """
    out_channels, size, height, width = weights.shape
    per_group = out_channels // groups
    lanes = dot.lanes
    if per_group % lanes == 0 and size % dot.group == 0:
        return weights.transpose(2, 3, 1, 0), size, (per_group, size)
    covered = lanes // per_group if lanes % per_group == 0 else 0
    if not covered or out_channels % lanes or (covered * size) % dot.group:
        covered = groups
    taken = covered * size
    kernel = np.zeros((height, width, taken, out_channels), weights.dtype)
    for channel in range(out_channels):
        first = channel // per_group % covered * size
        kernel[:, :, first : first + size, channel] = weights[channel].transpose(1, 2, 0)
    shift = (0, 0) if covered == groups else (lanes, taken)
    return kernel, taken, shift
