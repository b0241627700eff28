"""Layers with constant weights: convolutions and linear layers, and products of activations."""

from __future__ import annotations

import numpy as np
from tvm import relax
from tvm.ir import GenericConst

from ..._graph import op_name, to_numpy
from ..._layers import channel_axis
from ...annotate import ACTIVATION, INPUT, SYMMETRIC, WEIGHT, Annotated
from ..rule import Rule, dequantize_all, leave_float
from .annotating import narrow
from .values import Affine, Term

__all__ = ["RULES", "pad_with_zero"]

_OPTIONS = ("strides", "padding", "dilation", "groups", "data_layout", "kernel_layout")


def _has_constant_weight(call: relax.Call) -> bool:
    return isinstance(call.args[1], GenericConst)


def _is_plain_conv(call: relax.Call) -> bool:
    layouts = (call.attrs.data_layout[:2], call.attrs.kernel_layout[:2])
    kernel = "IO" if op_name(call).endswith("_transpose") else "OI"
    return str(call.args[0].ty.dtype) == "float32" and layouts == ("NC", kernel)


def _annotate_layer(a, call, args):
    if not _has_constant_weight(call):
        return leave_float(a, call, args)  # a weight computed at run time has no fixed scales
    x = narrow(a, call, args, 0)
    weight = a.simulate(args[1].expr, WEIGHT, axis=channel_axis(call))
    return Annotated(a.emit(call, [x, weight]), ACTIVATION)


def _skip_conv2d(a, call):
    number, a.conv_count = a.conv_count, a.conv_count + 1
    return number in (a.config.skip_conv_layers or ())


def _skip_dense(a, call):
    return a.config.skip_dense_layer


def _realize_layer(r, call, args):
    if not (r.is_narrow(args[0]) and r.is_quantized(args[1])):
        return dequantize_all(r, call, args)
    x, weight = args[0].narrow, args[1].terms[0]
    w = to_numpy(weight.expr)
    name, zero_point = op_name(call), int(x.zero_point)
    data, attrs = x.expr, {}
    if name == "relax.matmul":
        bias = zero_point * w.astype(np.int64).sum(axis=-2, keepdims=w.ndim > 2)
        result = relax.op.matmul(data, weight.expr, out_dtype="int32")
    else:
        attrs = {option: getattr(call.attrs, option) for option in _OPTIONS}
        if not name.endswith("_transpose"):  # whose border is no part of its input
            data, attrs["padding"] = pad_with_zero(r, data, attrs["padding"], zero_point)
        result = _convolution(call, data, weight.expr, attrs)
        bias = zero_point * _response_to_ones(call, w, attrs)
    scale = x.scale * _output_scale(call, weight.scale)
    return Affine((Term(r.builder.emit(result), scale, np.asarray(bias, np.float64)),))


def _convolution(call: relax.Call, data: relax.Expr, weight: relax.Expr, attrs: dict) -> relax.Expr:
    emit = getattr(relax.op.nn, op_name(call).removeprefix("relax.nn."))
    if hasattr(call.attrs, "output_padding"):
        attrs = attrs | {"output_padding": call.attrs.output_padding}
    return emit(data, weight, **attrs, out_layout=call.attrs.out_layout, out_dtype="int32")


def pad_with_zero(r, data: relax.Expr, padding, zero_point: int):
    """Surround data with its zero point, so that the border stands for zero.

    Returns the data, and the padding that is left to do.
    """
    padding = [int(p) for p in padding]
    if zero_point == 0 or not any(padding):
        return data, padding
    half = len(padding) // 2
    width = [0, 0, 0, 0]
    for before, after in zip(padding[:half], padding[half:], strict=True):
        width += [before, after]
    padded = relax.op.nn.pad(data, width, pad_value=float(zero_point))
    return r.builder.emit(padded), [0] * len(padding)


def _response_to_ones(call: relax.Call, w: np.ndarray, attrs: dict) -> np.ndarray:
    """Return what the layer answers, in integers, to an input of ones; it broadcasts to its result.

    A transposed convolution answers less where fewer of its taps meet; the others answer alike
    everywhere, because what surrounds their input has been made part of it.
    """
    w = w.astype(np.int64)
    if not op_name(call).endswith("_transpose"):
        return w.reshape(w.shape[0], -1).sum(axis=1).reshape(-1, *(1,) * (w.ndim - 2))
    import torch

    ones = torch.ones([1] + [int(extent) for extent in call.args[0].ty.shape][1:]).double()
    spatial = w.ndim - 2
    before = [int(p) for p in attrs["padding"][:spatial]]
    function = getattr(torch.nn.functional, f"conv_transpose{spatial}d")
    full = function(
        ones,
        torch.from_numpy(w.astype(np.float64)),
        stride=[int(s) for s in attrs["strides"]],
        dilation=[int(d) for d in attrs["dilation"]],
        groups=int(attrs["groups"]),
    ).numpy()
    sizes = [int(extent) for extent in call.ty.shape][2:]
    for axis, (start, size) in enumerate(zip(before, sizes, strict=True), 2):
        short = max(start + size - full.shape[axis], 0)  # output padding: beyond every tap
        full = np.pad(full, [(0, short if i == axis else 0) for i in range(full.ndim)])
        full = full.take(range(start, start + size), axis=axis)
    return full


def _output_scale(call: relax.Call, scale: np.ndarray) -> np.ndarray:
    """Lay the scales of a weight's channels along the channels of the result."""
    if scale.size == 1:
        return scale.reshape(())
    if op_name(call) == "relax.matmul":
        return scale.reshape(-1)
    channels = int(call.ty.shape[1])
    along = np.tile(scale.reshape(-1), channels // scale.size)  # groups of a transposed convolution
    return along.reshape(-1, *(1,) * (len(call.ty.shape) - 2))


def _is_float_product(call: relax.Call) -> bool:
    return all(str(arg.ty.dtype) == "float32" and len(arg.ty.shape) >= 2 for arg in call.args)


def _annotate_matmul(a, call, args):
    if _has_constant_weight(call):
        return _annotate_layer(a, call, args)
    operands = [narrow(a, call, args, i) for i in range(2)]
    return Annotated(a.emit(call, operands), ACTIVATION)


def _realize_product(r, call, args):
    """``sum (x - zx) (y - zy)``; a zero point that is not 0 costs a sum of the other operand."""
    if not all(map(r.is_narrow, args)):
        return dequantize_all(r, call, args)
    x, y = args[0].narrow, args[1].narrow
    zx, zy = int(x.zero_point), int(y.zero_point)
    total = r.builder.emit(relax.op.matmul(x.expr, y.expr, out_dtype="int32"))
    if zx:
        columns = _sums(r, y.expr, axis=-2)
        total = r.arith.add(total, r.arith.multiply(columns, -zx))
    if zy:
        rows = _sums(r, x.expr, axis=-1)
        total = r.arith.add(total, r.arith.multiply(rows, -zy))
    depth = int(x.expr.ty.shape[-1])
    return Affine((Term(total, x.scale * y.scale, np.asarray(-float(depth * zx * zy))),))


def _sums(r, x: relax.Expr, axis: int) -> relax.Expr:
    return r.builder.emit(relax.op.sum(r.arith.cast(x, "int32"), axis=[axis], keepdims=True))


def _realize_matmul(r, call, args):
    constant = r.is_quantized(args[1]) and isinstance(args[1].terms[0].expr, GenericConst)
    return (_realize_layer if constant else _realize_product)(r, call, args)


def _asks_layer(call: relax.Call):
    return (INPUT, None) if _has_constant_weight(call) else None


def _asks_matmul(call: relax.Call):
    return (INPUT, None) if _has_constant_weight(call) else (INPUT, SYMMETRIC)


def _conv(op: str, **options) -> Rule:
    return Rule(
        op,
        when=_is_plain_conv,
        annotate=_annotate_layer,
        realize=_realize_layer,
        asks=_asks_layer,
        **options,
    )


RULES = (
    _conv("relax.nn.conv1d"),
    _conv("relax.nn.conv2d", skip=_skip_conv2d),
    _conv("relax.nn.conv1d_transpose"),
    _conv("relax.nn.conv2d_transpose"),
    Rule("relax.nn.conv2d", skip=_skip_conv2d, why="its layout is not channels first"),
    Rule("relax.nn.conv3d", why="volumes: no integer form yet"),
    Rule(
        "relax.matmul",
        relay="nn.dense",
        when=_is_float_product,
        annotate=_annotate_matmul,
        realize=_realize_matmul,
        asks=_asks_matmul,
        skip=_skip_dense,
    ),
)
