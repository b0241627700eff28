"""Operators on single elements: integers that wrap, and floats of which IEEE leaves no choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax

__all__ = ["ELEMENTS", "along", "cast", "integers"]

Row = Callable[..., Any]


def integers(values: Any) -> list[int]:
    """Return the numbers of an attribute or a shape."""
    return [int(value) for value in values]


def cast(x: np.ndarray, dtype: str) -> np.ndarray:
    """Convert: floats are truncated towards zero, integers wrap around."""
    if x.dtype.kind == "f" and np.dtype(dtype).kind in "iu":
        x = np.nan_to_num(x, nan=0, posinf=2.0**62, neginf=-(2.0**62)).astype(np.int64)
    return x.astype(dtype)


def along(parameter: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """Shape a scalar, or a vector along ``axis``, so that it broadcasts to ``x``."""
    if parameter.size == 1:
        return parameter.reshape(())
    return parameter.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def _clip(call, x, low, high):
    if x.dtype.kind == "f":
        return np.clip(x, x.dtype.type(low), x.dtype.type(high))
    ends = np.iinfo(x.dtype)
    low, high = (int(min(max(end, ends.min), ends.max)) for end in (low, high))
    return np.clip(x, x.dtype.type(low), x.dtype.type(high))


def _round_half_away(call, x):
    # float64 holds a float32 and a half more without rounding
    return np.copysign(np.floor(np.abs(x.astype(np.float64)) + 0.5), x).astype(x.dtype)


def _quantize(call, x, scale, zero_point):
    dtype, axis = str(call.ty.dtype), int(call.attrs.axis)
    ends = np.iinfo(dtype)
    steps = np.rint(x / along(scale, x, axis)) + along(zero_point, x, axis).astype(x.dtype)
    return cast(np.clip(steps, x.dtype.type(ends.min), x.dtype.type(ends.max)), dtype)


def _dequantize(call, x, scale, zero_point):
    axis = int(call.attrs.axis)
    steps = x.astype(np.int32) - along(zero_point, x, axis).astype(np.int32)
    return steps.astype(scale.dtype) * along(scale, x, axis)


def _simulated_quantize(call, x, scale=None, low=None, high=None):
    if scale is None:  # not calibrated yet
        return x
    return _round_half_away(call, np.clip(x / scale, low, high)) * scale


def _quotient(a, b):
    """Divide integers, truncated towards zero."""
    result = np.abs(a) // np.abs(b)
    return np.where((a < 0) != (b < 0), -result, result).astype(a.dtype)


def _divide(call, a, b):
    return a / b if a.dtype.kind == "f" else _quotient(a, b)


def _floor_divide(call, a, b):
    return np.floor(a / b) if a.dtype.kind == "f" else a // b


def _leaky_relu(call, x):
    return np.where(x > 0, x, x * x.dtype.type(call.attrs.alpha))


def _prelu(call, x, slope):
    return np.where(x > 0, x, x * along(slope, x, int(call.attrs.axis)))


def _plain(function: Callable[..., Any]) -> Row:
    return lambda call, *args: function(*args)


def _same(call: relax.Call, x: np.ndarray) -> np.ndarray:
    return x


ELEMENTS: dict[str, Row] = {
    **{
        f"relax.{name}": _plain(getattr(np, name))
        for name in (
            *("add", "subtract", "multiply", "maximum", "minimum", "negative", "abs", "square"),
            *("left_shift", "right_shift", "bitwise_and", "bitwise_or", "bitwise_xor"),
            *("floor", "ceil", "trunc", "sqrt", "sign", "where"),
            *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
            *("logical_and", "logical_or", "logical_xor", "logical_not"),
            *("isfinite", "isinf", "isnan"),
        )
    },
    "relax.bitwise_not": _plain(np.invert),
    "relax.round": _plain(np.rint),
    "relax.divide": _divide,
    "relax.floor_divide": _floor_divide,
    "relax.mod": _plain(np.fmod),
    "relax.clip": _clip,
    "relax.astype": lambda call, x: cast(x, str(call.ty.dtype)),
    "relax.round_half_away": _round_half_away,
    "relax.quantize": _quantize,
    "relax.dequantize": _dequantize,
    "relax.qnn.simulated_quantize": _simulated_quantize,
    "relax.nn.relu": lambda call, x: np.maximum(x, x.dtype.type(0)),
    "relax.nn.leakyrelu": _leaky_relu,
    "relax.nn.prelu": _prelu,
    "relax.nn.bias_add": lambda call, x, bias: x + along(bias, x, int(call.attrs["axis"])),
    **dict.fromkeys(
        ("relax.annotation.cast_hint", "relax.annotation.stop_fusion", "relax.annotation.barrier"),
        _same,
    ),
}
