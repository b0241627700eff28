"""Convolutions as matrix products: which loops they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from tvm import relax
from tvm.ir import GenericConst

from ...quantize._graph import op_name, to_numpy
from ..isa import Dot
from ..kernels._depthwise import depthwise
from ..kernels._kernel import BIAS
from ..kernels._view import View
from ._fuse import Group, shape_of
from ._geometry import CONVOLUTIONS, Part, padding, part_of, parts, weights_of
from ._layout import MULTIPLE, SMALL, allocate
from ._nest import Images, constants, convolve
from ._plan import Plan
from ._program import per_channel

__all__ = ["accepts", "begin_values", "constants", "plan", "product_types"]

CHANNELS = 1  # the axis of NCHW


def product_types(call: relax.Call) -> str | None:
    """Return what a product multiplies, ``"int8"`` or ``"float32"``; None if it is neither."""
    a, b = (str(arg.ty.dtype) for arg in call.args[:2])
    kinds = {("int8", "int8", "int32"): "int8", ("float32", "float32", "float32"): "float32"}
    return kinds.get((a, b, str(call.ty.dtype)))


def accepts(walk: Any, var: relax.Var) -> bool:
    """Whether there is a kernel: constant weights, in the usual layout."""
    call = walk.graph.bindings[var]
    attrs, (data, kernel) = call.attrs, CONVOLUTIONS[op_name(call)]
    layouts = (attrs.data_layout, attrs.kernel_layout, attrs.out_layout or attrs.data_layout)
    return (
        isinstance(call.args[1], GenericConst)
        and layouts == (data, kernel, data)
        and product_types(call) is not None
    )


def plan(walk: Any, group: Group) -> Any:
    """Return loops over output positions and channels."""
    call = walk.graph.bindings[group.anchor]
    kind, groups = product_types(call), int(call.attrs.groups)
    dot: Dot = getattr(walk.isa, kind)
    weights = weights_of(call, to_numpy(call.args[1]))
    out_channels, in_channels, *kernel = weights.shape
    value = _images(walk, call, dot, in_channels * groups)
    depthwise_too = groups == in_channels * groups == out_channels and groups > 1
    inputs, bodies, swallowed = [(value.expr, value.view)], [], None
    for part in parts(call):
        taken = part_of(weights, part)
        begin, swallowed = begin_values(walk, group, taken.reshape(out_channels, -1), CHANNELS)
        (down, right), (dy, dx) = ([getattr(s, k) for s in part] for k in ("stride", "dilation"))
        shape = (shape_of(call)[0], out_channels, *(span.extent for span in part))
        images = Images(shape, (down, right), (dy, dx), groups)
        _, _, y, x = value.view.strides
        offset = value.view.offset + part[0].start * y + part[1].start * x
        view = replace(value.view, offset=offset)
        loops = depthwise if depthwise_too else convolve
        body, constant = loops(walk, dot, images, view, taken, begin)
        bodies.append((part, body, slice(len(inputs), len(inputs) + len(constant))))
        inputs += constant

    def every(kernel, arrays, finish):
        for part, body, own in bodies:
            body(kernel, [arrays[0], *arrays[own]], _placed(part, len(shape_of(call)), finish))

    prefix = "depthwise_" if depthwise_too else ""
    kernel_name = "x".join(map(str, kernel))
    name = f"{prefix}{op_name(call).removeprefix('relax.nn.')}_{kernel_name}_{kind}"
    transposed = op_name(call).endswith("_transpose")
    positions = math.prod(shape_of(call.args[0] if transposed else call)[2:])
    operations = 2 * shape_of(call)[0] * positions * math.prod(weights.shape)
    return Plan(inputs, every, name, kind, operations, swallowed, CHANNELS)


def _placed(part: Part, rank: int, finish: Callable) -> Callable:
    """Return `finish` for results of a part, at their places in the output."""
    if rank == 4 and all((span.first, span.every) == (0, 1) for span in part):
        return finish

    def at(index: list[Any], lanes: int, read: Callable) -> None:
        places = [i * s.every + s.first for i, s in zip(index[2:], part, strict=True)]
        finish([*index[:2], *places[4 - rank :]], lanes, read)

    return at


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


def _images(walk: Any, call: relax.Call, dot: Dot, channels: int) -> Any:
    """Return the input as images, channels last, padded, and with whole groups of channels."""
    value = walk.value(call.args[0])
    if len(value.view.shape) == 3:
        value = type(value)(value.expr, _as_images(value.view))
    widths = padding(call)
    widths = [*widths[:2], (0, 0), *widths[2:]] if len(widths) == 3 else widths
    view = value.view.pad(widths, 0.0)
    missing = -channels % dot.group
    if (
        view is None
        or view.stored != dot.a
        or (channels > 1 and view.strides[CHANNELS] != 1)
        or view.slack < missing
    ):
        multiple = max(dot.group, SMALL) if channels <= SMALL else MULTIPLE
        target = allocate(value.view.shape, value.view.dtype, CHANNELS, widths, 0.0, multiple)
        value = walk.copy(value, target)
    return value


def _as_images(view: View) -> View:
    """Return rows of numbers as images of one row."""
    shape, strides, halo = (
        (*x[:2], y, x[2])
        for x, y in ((view.shape, 1), (view.strides, 0), (view.halo or ((0, 0),) * 3, (0, 0)))
    )
    return replace(view, shape=shape, strides=strides, halo=halo)
