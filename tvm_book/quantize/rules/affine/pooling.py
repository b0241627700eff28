"""Pooling and means: sums in int32, whose number of summands goes into the scale."""

from __future__ import annotations

import math

import numpy as np
from tvm import relax

from ..._graph import op_name
from ...annotate import ACTIVATION, INPUT, Annotated
from ..rule import Rule, dequantize_all, on_data
from .annotating import narrow, when_demanded
from .layers import pad_with_zero
from .values import Affine, Term

__all__ = ["RULES"]


@when_demanded
def _annotate_max_pool(a, call, args):
    return Annotated(a.emit(call, [narrow(a, call, args, 0)]), INPUT)


@when_demanded
def _annotate_mean(a, call, args):
    return Annotated(a.emit(call, [narrow(a, call, args, 0)]), ACTIVATION)


def _realize_mean(r, call, args):
    """Sum over axes; adaptive and global pools to one element are means over the image."""
    (x,) = args
    if not r.is_narrow(x):
        return dequantize_all(r, call, args)
    term = x.narrow
    axes, keepdims = _axes(call)
    summed = math.prod(int(term.expr.ty.shape[axis]) for axis in axes)
    count = 1 if op_name(call) == "relax.sum" else summed
    total = r.arith.cast(term.expr, "int32")
    total = r.builder.emit(relax.op.sum(total, axis=axes, keepdims=keepdims))
    return Affine((Term(total, term.scale / count, term.zero_point * summed),))


def _axes(call: relax.Call) -> tuple[list[int], bool]:
    rank = len(call.args[0].ty.shape)
    if op_name(call) not in ("relax.mean", "relax.sum"):
        return list(range(2, rank)), True
    axes = call.attrs.axis
    axes = range(rank) if axes is None else [int(axis) % rank for axis in axes]
    return list(axes), bool(call.attrs.keepdims)


def _realize_avg_pool(r, call, args):
    """Sum each window, as a depthwise convolution with ones."""
    (x,) = args
    if not r.is_narrow(x):
        return dequantize_all(r, call, args)
    term = x.narrow
    data, window, strides, dilation, padding = _window(call, term)
    data, padding = pad_with_zero(r, data, padding, int(term.zero_point))
    channels = int(data.ty.shape[1])
    ones = relax.const(np.ones((channels, 1, *window), np.int8), "int8")
    convolve = relax.op.nn.conv1d if len(window) == 1 else relax.op.nn.conv2d
    total = r.builder.emit(
        convolve(
            data,
            ones,
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=channels,
            out_dtype="int32",
        )
    )
    counts = np.asarray(_counts(call), np.float64)
    zero_point = term.zero_point * math.prod(window)
    return Affine((Term(total, term.scale / counts, np.asarray(zero_point, np.float64)),))


def _window(call: relax.Call, term: Term):
    """Return the data and the sizes of the convolution that sums each window."""
    attrs, shape = call.attrs, [int(extent) for extent in term.expr.ty.shape]
    sizes, results = shape[2:], [int(extent) for extent in call.ty.shape][2:]
    if op_name(call) == "relax.nn.adaptive_avg_pool2d":
        window = [size // result for size, result in zip(sizes, results, strict=True)]
        return term.expr, window, window, [1] * len(sizes), [0] * 2 * len(sizes)
    window, strides, dilation = (
        [int(n) for n in getattr(attrs, name)] for name in ("pool_size", "strides", "dilation")
    )
    padding = [int(p) for p in attrs.padding]
    half = len(padding) // 2
    after = []
    for i, size in enumerate(sizes):  # ceil_mode lets the last window reach beyond the padding
        reach = (results[i] - 1) * strides[i] + (window[i] - 1) * dilation[i] + 1
        after.append(max(reach - size - padding[i], 0))
    return term.expr, window, strides, dilation, padding[:half] + after


def _counts(call: relax.Call) -> np.ndarray | int:
    """By how much each window's sum is divided: one number, or one for each position."""
    sizes, results = ([int(n) for n in x.ty.shape][2:] for x in (call.args[0], call))
    if op_name(call) == "relax.nn.adaptive_avg_pool2d":
        return math.prod(size // result for size, result in zip(sizes, results, strict=True))
    attrs = call.attrs
    half = len(attrs.padding) // 2
    counts = np.ones(())
    for i, size in enumerate(sizes):
        before, after = int(attrs.padding[i]), int(attrs.padding[half + i])
        starts = np.arange(results[i]) * int(attrs.strides[i]) - before
        taps = starts[:, None] + np.arange(int(attrs.pool_size[i])) * int(attrs.dilation[i])
        low, high = (-before, size + after) if attrs.count_include_pad else (0, size)
        counts = np.multiply.outer(counts, ((taps >= low) & (taps < high)).sum(axis=1))
    first = counts.flat[0]
    return int(first) if np.all(counts == first) else counts


def _keeps_channels_first(call: relax.Call) -> bool:
    return str(call.attrs.layout)[:2] == "NC" and _is_float(call)


def _is_float(call: relax.Call) -> bool:
    return str(call.args[0].ty.dtype) == "float32"


def _is_global(call: relax.Call) -> bool:
    return _keeps_channels_first(call) and all(int(n) == 1 for n in list(call.ty.shape)[2:])


def _divides(call: relax.Call) -> bool:
    sizes, results = (list(map(int, x.ty.shape))[2:] for x in (call.args[0], call))
    even = all(size % result == 0 for size, result in zip(sizes, results, strict=True))
    return _keeps_channels_first(call) and even


def _mean(op: str, when) -> Rule:
    return Rule(op, when=when, annotate=_annotate_mean, realize=_realize_mean, asks="pass")


def _pool(op: str, when) -> Rule:
    return Rule(op, when=when, annotate=_annotate_mean, realize=_realize_avg_pool, asks="pass")


RULES = (
    *(
        Rule(
            f"relax.nn.max_pool{n}d",
            when=_is_float,
            annotate=_annotate_max_pool,
            realize=on_data,
            asks="pass",
        )
        for n in (1, 2)
    ),
    _pool("relax.nn.avg_pool1d", _keeps_channels_first),
    _pool("relax.nn.avg_pool2d", _keeps_channels_first),
    _mean("relax.nn.adaptive_avg_pool1d", _is_global),
    _mean("relax.nn.adaptive_avg_pool2d", _is_global),
    _pool("relax.nn.adaptive_avg_pool2d", _divides),
    Rule("relax.nn.adaptive_avg_pool2d", why="windows of unequal sizes"),
    _mean("relax.nn.global_avg_pool2d", _is_float),
    _mean("relax.mean", _is_float),
    _mean("relax.sum", _is_float),
    *(
        Rule(op, annotate=_annotate_max_pool, realize=on_data, asks="pass", when=_is_float)
        for op in ("relax.max", "relax.min")  # steps are positive: the order of integers is theirs
    ),
)
