"""Relax operators that act on each element alone, as expressions on vectors.

A row gives the expression for one vector from those of the operands, which have as many lanes.
Floats round after every operator, as Relax means it: what LLVM could contract to one rounding is
fenced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax, tirx
from tvm.ir import GenericConst
from tvm.script.ir_builder import tirx as T

from ._functions import FUNCTIONS, fence, splat
from ._kernel import Array, vector

__all__ = ["ELEMENTWISE", "exponent", "is_elementwise", "splat"]

Expr = Any


def _plain(function: Callable[..., Expr]) -> Callable:
    return lambda call, args, lanes: function(*args)


def _multiply(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    return _fence(args[0] * args[1], call.ty.dtype.dtype, lanes)


def _fence(value: Expr, dtype: str, lanes: int) -> Expr:
    if not str(dtype).startswith("float"):
        return value
    return T.call_llvm_pure_intrin(vector(str(dtype), lanes), "llvm.arithmetic.fence", value)


def _clip(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    dtype = str(call.ty.dtype)
    low, high = (splat(_number(end, dtype), dtype, lanes) for end in call.args[1:3])
    return T.max(T.min(args[0], high), low)


def _number(expr: Any, dtype: str) -> float:
    value = getattr(expr, "value", expr)
    value = getattr(value, "value", value)
    return float(value) if dtype.startswith("float") else int(value)


def _cast(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    return T.cast(args[0], vector(str(call.ty.dtype), lanes))


def _relu(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    return T.max(args[0], splat(0, str(call.ty.dtype), lanes))


def _leaky_relu(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    scaled = _fence(args[0] * float(call.attrs.alpha), "float32", lanes)
    return tirx.Select(args[0] > 0.0, args[0], scaled)


def _prelu(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    x, slope = args
    return tirx.Select(x > 0.0, x, _fence(x * slope, "float32", lanes))


def _where(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    return tirx.Select(*args)


def _quantize(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    x, scale, zero_point = args
    dtype = str(call.ty.dtype)
    low, high = (int(f(dtype).value) for f in (tirx.min_value, tirx.max_value))
    value = T.nearbyint(x / scale) + T.cast(zero_point, vector("float32", lanes))
    value = T.max(T.min(value, splat(high, "float32", lanes)), splat(low, "float32", lanes))
    return T.cast(value, vector(dtype, lanes))


def _dequantize(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    x, scale, zero_point = args
    centred = T.cast(x, vector("int32", lanes)) - zero_point
    return _fence(T.cast(centred, vector("float32", lanes)) * scale, "float32", lanes)


def _round_half_away(x: Expr, lanes: int) -> Expr:
    # The largest number below a half: adding the half itself would carry that number up to 1.
    half = float(np.nextafter(np.float32(0.5), np.float32(0)))
    half, other = splat(half, "float32", lanes), splat(-half, "float32", lanes)
    return T.trunc(x + tirx.Select(x < 0.0, other, half))


def _simulate(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    if len(args) == 1:  # not calibrated yet
        return args[0]
    x, scale, low, high = args
    steps = T.bind(T.max(T.min(x / scale, high), low))
    return _fence(_round_half_away(steps, lanes) * scale, "float32", lanes)


def _take(call: relax.Call, args: list[Any], lanes: int) -> Expr:
    # Lanes behind the last element hold any index, so that the limits are no luxury.
    table: Array = args[0]
    dtype, size = str(call.args[1].ty.dtype), int(call.args[0].ty.shape[0])
    last = min(size - 1, int(tirx.max_value(dtype).value))
    index = T.max(T.min(args[1], splat(last, dtype, lanes)), splat(0, dtype, lanes))
    return table.buffer[T.bind(T.cast(index, vector("int32", lanes)))]


def exponent(call: relax.Call) -> float | None:
    """Return the exponent of a power if it is one constant."""
    if isinstance(call.args[1], GenericConst) and call.args[1].value.numpy().size == 1:
        return float(call.args[1].value.numpy().reshape(()))
    return None


POWERS: dict[float, Callable[[Expr], Expr]] = {
    2.0: lambda x: x * x,
    3.0: lambda x: x * x * x,
    0.5: T.sqrt,
    -0.5: lambda x: 1.0 / T.sqrt(x),
    -1.0: lambda x: 1.0 / x,
}


def _power(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    return _fence(POWERS[exponent(call)](args[0]), "float32", lanes)


def _function(function: Callable[[Expr, int], Expr]) -> Callable:
    return lambda call, args, lanes: fence(function(args[0], lanes), lanes)


def _same(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    return args[0]


# For numbers of any type.
_ANY: dict[str, Callable[[relax.Call, list[Expr], int], Expr]] = {
    "relax.add": _plain(lambda a, b: a + b),
    "relax.subtract": _plain(lambda a, b: a - b),
    "relax.multiply": _multiply,
    "relax.maximum": _plain(T.max),
    "relax.minimum": _plain(T.min),
    "relax.right_shift": _plain(T.shift_right),
    "relax.left_shift": _plain(T.shift_left),
    "relax.negative": _plain(lambda a: -a),
    "relax.round": _plain(T.nearbyint),
    "relax.astype": _cast,
    "relax.clip": _clip,
    "relax.take": _take,
    "relax.nn.relu": _relu,
    "relax.nn.bias_add": _plain(lambda a, b: a + b),
    "relax.equal": _plain(tirx.EQ),
    "relax.not_equal": _plain(tirx.NE),
    "relax.less": _plain(tirx.LT),
    "relax.less_equal": _plain(tirx.LE),
    "relax.greater": _plain(tirx.GT),
    "relax.greater_equal": _plain(tirx.GE),
    "relax.where": _where,
    "relax.quantize": _quantize,
    "relax.dequantize": _dequantize,
    "relax.annotation.cast_hint": _same,
    "relax.annotation.stop_fusion": _same,
    "relax.annotation.barrier": _same,
}

_FLOAT32: dict[str, Callable[[relax.Call, list[Expr], int], Expr]] = {
    "relax.divide": _plain(lambda a, b: a / b),
    "relax.power": _power,
    "relax.square": lambda call, args, lanes: _fence(args[0] * args[0], "float32", lanes),
    "relax.abs": _plain(T.fabs),
    "relax.floor": _plain(T.floor),
    "relax.ceil": _plain(T.ceil),
    "relax.round_half_away": lambda call, args, lanes: _round_half_away(args[0], lanes),
    "relax.qnn.simulated_quantize": _simulate,
    "relax.nn.leakyrelu": _leaky_relu,
    "relax.nn.prelu": _prelu,
    **{name: _function(function) for name, function in FUNCTIONS.items()},
}

ELEMENTWISE = _ANY | _FLOAT32

# Which operand must be a constant of one axis.
_VECTORS = {"relax.take": 0, "relax.nn.bias_add": 1, "relax.nn.prelu": 1}


def is_elementwise(call: relax.Expr) -> bool:
    """Whether an expression is a call that a row of `ELEMENTWISE` computes.

    Constant exponents are those of `POWERS`; tables, slopes and added biases are one-dimensional
    constants.
    """
    name = call.op.name if isinstance(call, relax.Call) and hasattr(call.op, "name") else ""
    if name not in ELEMENTWISE:
        return False
    if name in _FLOAT32 and str(call.args[0].ty.dtype) != "float32":
        return False
    if name == "relax.power":
        return exponent(call) in POWERS
    if name == "relax.nn.softplus":
        # Beyond a threshold it is the identity, which a float is from 17 on.
        return float(call.attrs.beta) == 1 and float(call.attrs.threshold) >= 17
    if name in _VECTORS:
        operand = call.args[_VECTORS[name]]
        return isinstance(operand, GenericConst) and len(operand.ty.shape) == 1
    return True
