"""Relax operators that act on each element alone, as expressions on vectors.

A row gives the expression for one vector from those of the operands, which have as many lanes.
Floats round after every operator, as Relax means it: what LLVM could contract to one rounding is
fenced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax, tirx
from tvm.script.ir_builder import tirx as T

from ._kernel import vector

__all__ = ["ELEMENTWISE", "splat"]

Expr = Any


def splat(value: float, dtype: str, lanes: int) -> Expr:
    """Return a vector of equal constants."""
    scalar = tirx.const(value, dtype)
    return scalar if lanes == 1 else T.broadcast(scalar, lanes)


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


def _quantize(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    x, scale, zero_point = args
    dtype = str(call.ty.dtype)
    low, high = (int(f(dtype).value) for f in (tirx.min_value, tirx.max_value))
    value = T.nearbyint(x / scale) + T.cast(zero_point, vector("float32", lanes))
    value = T.max(
        T.min(value, splat(high, "float32", lanes)), splat(low, "float32", lanes)
    )
    return T.cast(value, vector(dtype, lanes))


def _dequantize(call: relax.Call, args: list[Expr], lanes: int) -> Expr:
    x, scale, zero_point = args
    centred = T.cast(x, vector("int32", lanes)) - zero_point
    return _fence(T.cast(centred, vector("float32", lanes)) * scale, "float32", lanes)


ELEMENTWISE: dict[str, Callable[[relax.Call, list[Expr], int], Expr]] = {
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
    "relax.nn.relu": _relu,
    "relax.quantize": _quantize,
    "relax.dequantize": _dequantize,
}
