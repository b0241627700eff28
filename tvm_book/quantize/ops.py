"""Operators that Relax lacks and the quantizer needs, registered with TVM when imported.

Markers (``annotation.*``, ``simulated_quantize``) live only between the passes, except
``simulated_quantize`` in a simulated module. ``round_half_away`` stays in the result: Relax's
own ``R.round`` rounds ties to even, Relay's rounded them away from zero.
All of them lower like any Relax operator, so a module that holds them can be compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax, te, tirx, topi
from tvm.ir import Op, _ffi_api

__all__ = [
    "barrier",
    "bias_add",
    "cast_hint",
    "global_avg_pool2d",
    "is_op",
    "round_half_away",
    "simulated_quantize",
    "stop_fusion",
]


def _call(name: str, *args: relax.Expr, **attrs: Any) -> relax.Expr:
    node = tvm.ir.make_node("ir.DictAttrs", **attrs) if attrs else None
    return relax.Call(Op.get(name), list(args), node)


def is_op(expr: Any, name: str) -> bool:
    """Whether ``expr`` is a call of the operator ``name``, such as ``"relax.nn.relu"``."""
    return isinstance(expr, relax.Call) and isinstance(expr.op, Op) and expr.op.name == name


def cast_hint(x: relax.Expr, dtype: str) -> relax.Expr:
    """Mark that ``x`` leaves a quantized group as ``dtype`` (partition)."""
    return _call("relax.annotation.cast_hint", x, dtype=dtype)


def stop_fusion(x: relax.Expr) -> relax.Expr:
    """Mark the end of a quantized group (partition)."""
    return _call("relax.annotation.stop_fusion", x)


def barrier(x: relax.Expr) -> relax.Expr:
    """Mark a place where a value returns to float."""
    return _call("relax.annotation.barrier", x)


def simulated_quantize(
    x: relax.Expr, *scale_and_clip: relax.Expr, kind: str, **attrs: int
) -> relax.Expr:
    """Mark that ``x`` is rounded to the grid of ``kind`` (annotate).

    ``scale_and_clip`` are the float32 constants ``scale, clip_min, clip_max`` that calibration
    fills in; the operator then computes ``round(clip(x / scale)) * scale``. The limits are 0-d; the
    scale may be of any shape that broadcasts to that of ``x``. A weight's ``axis`` says which of
    its axes has a scale for each channel.
    """
    return _call("relax.qnn.simulated_quantize", x, *scale_and_clip, kind=kind, **attrs)


def round_half_away(x: relax.Expr) -> relax.Expr:
    """Round to the nearest integer, ties away from zero, as C's ``roundf``.

    Examples
    --------
    >>> from tvm import relax
    >>> round_half_away(relax.Var("x", relax.TensorType((2,), "float32"))).op.name
    'relax.round_half_away'
    """
    return _call("relax.round_half_away", x)


def bias_add(x: relax.Expr, bias: relax.Expr, axis: int) -> relax.Expr:
    """Add a 1-d ``bias`` along ``axis`` of ``x``."""
    return _call("relax.nn.bias_add", x, bias, axis=axis)


def global_avg_pool2d(x: relax.Expr) -> relax.Expr:
    """Average an NCHW tensor over its height and width."""
    return _call("relax.nn.global_avg_pool2d", x)


def _same_type(call, _bb):
    return call.args[0].ty


def _pooled_type(call, _bb):
    n, c, _, _ = call.args[0].ty.shape
    return relax.TensorType((n, c, 1, 1), call.args[0].ty.dtype)


def _te_round(x: te.Tensor) -> te.Tensor:
    # trunc(x + copysign(h, x)) with h the largest number below 0.5: adding 0.5 itself would carry
    # h up to 1.
    half = np.dtype(str(x.dtype)).type(0.5)
    half = tirx.const(float(np.nextafter(half, half - half)), x.dtype)
    return te.compute(
        x.shape,
        lambda *i: tirx.trunc(
            x(*i) + tirx.Select(x(*i) < tirx.const(0, x.dtype), -half, half),
        ),
        name="round_half_away",
    )


def _te_simulate(x, scale, low, high):
    grid = topi.maximum(topi.minimum(topi.divide(x, scale), high), low)
    return topi.multiply(_te_round(grid), scale)


def _lower_simulate(bb, call):
    if len(call.args) == 1:  # not calibrated yet: the float value, as calibration needs it
        return call.args[0]
    return bb.call_te(_te_simulate, *call.args)


def _lower_bias(bb, call):
    x, bias = call.args
    rank = len(x.ty.shape)
    shape = [1] * rank
    shape[int(call.attrs["axis"]) % rank] = bias.ty.shape[0]
    return bb.call_te(lambda a, b: topi.add(a, topi.reshape(b, shape)), x, bias)


def _te_global_pool(x):
    n, c, h, w = x.shape
    rows, cols = te.reduce_axis((0, h)), te.reduce_axis((0, w))
    total = te.compute((n, c, 1, 1), lambda b, k, *_: te.sum(x[b, k, rows, cols], [rows, cols]))
    count = tirx.const(int(h) * int(w), x.dtype)
    divide = tirx.truncdiv if "int" in str(x.dtype) else tirx.div
    return te.compute(total.shape, lambda *i: divide(total(*i), count), name="global_avg_pool2d")


def _identity(_bb, call):
    return call.args[0]


def _te_rule(function: Callable) -> Callable:
    return lambda bb, call: bb.call_te(function, *call.args)


# operator: (type inference, lowering)
_OPS: dict[str, tuple[Callable, Callable]] = {
    "relax.annotation.cast_hint": (_same_type, _identity),
    "relax.annotation.stop_fusion": (_same_type, _identity),
    "relax.annotation.barrier": (_same_type, _identity),
    "relax.qnn.simulated_quantize": (_same_type, _lower_simulate),
    "relax.round_half_away": (_same_type, _te_rule(_te_round)),
    "relax.nn.bias_add": (_same_type, _lower_bias),
    "relax.nn.global_avg_pool2d": (_pooled_type, _te_rule(_te_global_pool)),
}


def _register() -> None:
    known = set(Op.list_op_names())
    for name, (infer, lower) in _OPS.items():
        if name in known:  # the module was reloaded: TVM keeps its registry
            continue
        _ffi_api.RegisterOp(name, "registered by tvm_book")
        for key, value in (("FInferType", infer), ("FPurity", True), ("FLegalize", lower)):
            tvm.ir.register_op_attr(name, key, value)


_register()
