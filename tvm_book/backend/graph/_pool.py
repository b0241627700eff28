"""Pooling of images by windows."""

from __future__ import annotations

from typing import Any

from tvm import relax, tirx
from tvm.script.ir_builder import tirx as T

from ...quantize._graph import op_name
from ..kernels._kernel import vector
from ..kernels._pool import Adaptive, Pool, Window, pool
from . import _reduce
from ._fuse import Group, shape_of
from ._layout import MULTIPLE, allocate
from ._plan import Plan

__all__ = ["accepts", "channels_last", "plan", "width"]

CHANNELS = 1  # the axis of NCHW
DTYPES = {
    "relax.nn.max_pool2d": ("int8", "int32", "float32"),
    "relax.nn.avg_pool2d": ("int32", "float32"),
    "relax.nn.adaptive_avg_pool2d": ("float32",),
}


def accepts(walk: Any, var: relax.Var) -> bool:
    """Whether there is a kernel: channels first, and no window beside the image."""
    call = walk.graph.bindings[var]
    name, attrs = op_name(call), call.attrs
    layouts = (attrs.layout, attrs.out_layout or attrs.layout)
    dtypes = {str(expr.ty.dtype) for expr in (call, call.args[0])}
    if layouts != ("NCHW", "NCHW") or len(dtypes) > 1 or not dtypes <= set(DTYPES[name]):
        return False
    windows = _windows(call)
    average = name == "relax.nn.avg_pool2d"
    if average and any(window.dilation != 1 for window in windows):
        return False
    return all(isinstance(window, Adaptive) or window.covers() for window in windows)


def plan(walk: Any, group: Group) -> Any:
    """Return loops over output positions and vectors of channels."""
    call = walk.graph.bindings[group.anchor]
    name, windows = op_name(call), _windows(call)
    if name == "relax.nn.adaptive_avg_pool2d" and shape_of(call)[2:] == (1, 1):
        return _reduce.plan(walk, group)
    lanes = width(walk.isa, shape_of(group.anchor)[CHANNELS])
    value = channels_last(walk, call.args[0], lanes)
    what = _maximum(value.view) if name == "relax.nn.max_pool2d" else _average(call, windows)

    def body(kernel, arrays, finish):
        pool(kernel, what, arrays[0], windows, lanes, finish)

    return Plan([(value.expr, value.view)], body, name, axis=CHANNELS)


def width(isa: Any, channels: int) -> int:
    """Return how many channels to take at a time: up to four vectors, if they are all used."""
    padded = channels + -channels % MULTIPLE
    return next(n * isa.lanes for n in (4, 2, 1) if padded % (n * isa.lanes) == 0)


def channels_last(walk: Any, expr: relax.Expr, lanes: int) -> Any:
    """Return the input channels last, and readable up to whole vectors."""
    value = walk.value(expr)
    view = value.view
    if view.strides[CHANNELS] == 1 and view.slack >= -view.shape[CHANNELS] % lanes:
        return value
    return walk.copy(value, allocate(view.shape, view.dtype, CHANNELS))


def _windows(call: relax.Call) -> tuple[Any, Any]:
    """Return the windows of rows and of columns."""
    sizes, extents = shape_of(call.args[0])[2:], shape_of(call)[2:]
    if op_name(call) == "relax.nn.adaptive_avg_pool2d":
        return tuple(
            Adaptive(extent, size)
            if size % extent
            else Window(extent, size, size // extent, size // extent)
            for extent, size in zip(extents, sizes, strict=True)
        )
    attrs = call.attrs
    taps, strides, dilation = (
        [int(n) for n in getattr(attrs, key)] for key in ("pool_size", "strides", "dilation")
    )
    before = [int(p) for p in attrs.padding][:2]
    return tuple(
        Window(*numbers)
        for numbers in zip(extents, sizes, taps, strides, dilation, before, strict=True)
    )


def _maximum(view: Any) -> Pool:
    """Compare elements as they are stored: adding 128 keeps the order."""

    def load(array, index, lanes):
        return array.buffer[T.ramp(array.view.position(index), 1, lanes)]

    def result(value, lanes, _y, _x):
        if (view.stored, view.dtype) == ("uint8", "int8"):
            flip = tirx.const(128, "uint8")
            flipped = T.bitwise_xor(value, flip if lanes == 1 else T.broadcast(flip, lanes))
            return T.reinterpret(vector("int8", lanes), flipped)
        return value if view.stored == view.dtype else T.cast(value, vector(view.dtype, lanes))

    return Pool(view.stored, load, T.max, result, twice=True)


def _average(call: relax.Call, windows: tuple[Any, Any]) -> Pool:
    dtype = str(call.ty.dtype)

    def load(array, index, lanes):
        return array.load(index, CHANNELS, lanes)

    def result(value, lanes, y, x):
        counts = [
            _count(call, i, window, o)
            for i, (window, o) in enumerate(zip(windows, (y, x), strict=True))
        ]
        count = T.cast(counts[0] * counts[1], dtype)
        count = count if lanes == 1 else T.broadcast(count, lanes)
        return T.truncdiv(value, count) if dtype == "int32" else value / count

    return Pool(dtype, load, lambda a, b: a + b, result)


def _count(call: relax.Call, axis: int, window: Any, o: Any) -> Any:
    """By how much the sum of a window is divided (TVM 0.27, ``topi/nn/pooling.h``).

    Padding counts on demand, but not what ceil_mode adds behind it.
    """
    if not getattr(call.attrs, "count_include_pad", False):
        low, high = window.inner()
        if (low, high) == (0, window.extent - 1):
            return tirx.const(window.taps, "int32")
        return window.cut(o)[1]
    behind = int(call.attrs.padding[2 + axis])
    end = window.size + behind + window.before
    if (window.extent - 1) * window.stride + window.taps <= end:
        return tirx.const(window.taps, "int32")
    return T.min(o * window.stride + window.taps, end) - o * window.stride
