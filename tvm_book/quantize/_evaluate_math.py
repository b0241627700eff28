"""Arithmetic operators of Relax in torch: pointwise ones, reductions, and rounding to grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from tvm import relax

__all__ = ["MATH", "float_only", "is_float", "plain"]

Row = Callable[..., Any]

# The largest float32 below 0.5: adding 0.5 itself would carry it up to 1.
_BELOW_HALF = float(np.nextafter(np.float32(0.5), np.float32(0)))


def plain(function: Callable[..., Any]) -> Row:
    """Make a row of a function that needs no attributes."""
    return lambda call, *args: function(*args)


def float_only(function: Callable[..., Any]) -> Row:
    """Make a row for floats; TVM does other things to integers than torch."""
    return lambda call, *args: function(*args) if is_float(*args) else NotImplemented


def is_float(*args: torch.Tensor) -> bool:
    """Whether all tensors are of a floating type."""
    return all(arg.is_floating_point() for arg in args)


def _clip(call: relax.Call, x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    if x.is_floating_point():
        return torch.clamp(x, low, high)
    limits = torch.iinfo(x.dtype)
    low, high = max(low, limits.min), min(high, limits.max)  # infinite bounds, too
    return torch.clamp(x, int(low), int(high))


def _divide(rounding: str | None) -> Callable[..., torch.Tensor]:
    def divide(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if not a.is_floating_point():
            return torch.div(a, b, rounding_mode=rounding or "trunc")
        return torch.floor(a / b) if rounding else a / b

    return divide


def _floor_mod(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a - torch.floor(a / b) * b if a.is_floating_point() else torch.remainder(a, b)


def _axes(call: relax.Call, x: torch.Tensor) -> list[int]:
    axes = call.attrs.axis
    return list(range(x.ndim)) if axes is None else [int(axis) for axis in axes]


def _reduce(function: Callable[..., torch.Tensor]) -> Row:
    def row(call, x):
        return function(x, dim=_axes(call, x), keepdim=bool(call.attrs.keepdims))

    return row


def _float_reduce(function: Callable[..., torch.Tensor]) -> Row:
    reduce = _reduce(function)
    return lambda call, x: reduce(call, x) if is_float(x) else NotImplemented


def _sum(x: torch.Tensor, dim: list[int], keepdim: bool) -> torch.Tensor:
    return torch.sum(x, dim=dim, keepdim=keepdim, dtype=x.dtype)


def _product(x: torch.Tensor, dim: list[int], keepdim: bool) -> torch.Tensor:
    for axis in sorted((axis % x.ndim for axis in dim), reverse=True):
        x = torch.prod(x, dim=axis, keepdim=keepdim, dtype=x.dtype)
    return x


def _variance(x: torch.Tensor, dim: list[int], keepdim: bool) -> torch.Tensor:
    deviation = x - torch.mean(x, dim=dim, keepdim=True)
    return torch.mean(deviation * deviation, dim=dim, keepdim=keepdim)


def _deviation(x: torch.Tensor, dim: list[int], keepdim: bool) -> torch.Tensor:
    return torch.sqrt(_variance(x, dim, keepdim))


def _arg(function: Callable[..., torch.Tensor]) -> Row:
    def row(call, x):
        axis, keep = call.attrs.axis, bool(call.attrs.keepdims)
        if axis is not None:
            return function(x, dim=int(axis), keepdim=keep)
        found = function(x.reshape(-1), dim=0)
        return found.reshape([1] * x.ndim) if keep else found

    return row


def _cumulative(function: Callable[..., torch.Tensor]) -> Row:
    def row(call, x):
        if call.attrs.exclusive:
            return NotImplemented
        axis = call.attrs.axis
        x, axis = (x.reshape(-1), 0) if axis is None else (x, int(axis))
        return function(x, dim=axis, dtype=to_torch_dtype(call.ty.dtype))

    return row


def to_torch_dtype(dtype: Any) -> torch.dtype:
    """Return the torch dtype of the same name."""
    return getattr(torch, str(dtype))


def _cast(call: relax.Call, x: torch.Tensor) -> torch.Tensor:
    return x.to(to_torch_dtype(call.attrs.dtype))


def _along(parameter: torch.Tensor, x: torch.Tensor, axis: int) -> torch.Tensor:
    """Shape a scalar, or a vector along ``axis``, so that it broadcasts to ``x``."""
    if parameter.numel() == 1:
        return parameter.reshape(())
    return parameter.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def _quantize(call, x, scale, zero_point):
    if not is_float(x) or "int" not in str(call.attrs.out_dtype):
        return NotImplemented
    axis, dtype = int(call.attrs.axis), to_torch_dtype(call.attrs.out_dtype)
    steps = torch.round(x / _along(scale, x, axis)) + _along(zero_point, x, axis)
    limits = torch.iinfo(dtype)
    return torch.clamp(steps, limits.min, limits.max).to(dtype)


def _dequantize(call, x, scale, zero_point):
    if is_float(x) or str(call.attrs.out_dtype) != "float32":
        return NotImplemented
    axis = int(call.attrs.axis)
    steps = x.to(torch.int32) - _along(zero_point, x, axis)
    return steps * _along(scale, x, axis)


def _round_half_away(call, x):
    if x.dtype != torch.float32:
        return NotImplemented
    return torch.trunc(torch.where(x < 0, x - _BELOW_HALF, x + _BELOW_HALF))


def _simulated_quantize(call, x, scale=None, low=None, high=None):
    if scale is None:  # not calibrated yet
        return x
    if x.dtype != torch.float32:
        return NotImplemented
    return _round_half_away(call, torch.clamp(x / scale, low, high)) * scale


def _gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    return functional.gelu(x, approximate="tanh")


def _softplus(call, x):
    beta, threshold = float(call.attrs.beta), float(call.attrs.threshold)
    return functional.softplus(x, beta, threshold)


def _prelu(call, x, slope):
    return torch.where(x > 0, x, x * _along(slope, x, int(call.attrs.axis)))


def _named(names: str, make: Callable = plain) -> dict[str, Row]:
    return {f"relax.{name}": make(getattr(torch, name)) for name in names.split()}


MATH: dict[str, Row] = {
    **_named("abs negative sign bitwise_not logical_not isfinite isinf isnan square"),
    **_named("acos acosh asin asinh atan atanh cos cosh erf exp log sin sinh tan tanh", float_only),
    **_named("ceil floor round trunc rsqrt sigmoid sqrt", float_only),
    **_named("add subtract multiply maximum minimum where"),
    **_named("not_equal greater greater_equal less less_equal"),
    "relax.equal": plain(torch.eq),
    **_named("logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor"),
    "relax.left_shift": plain(torch.bitwise_left_shift),
    "relax.right_shift": plain(torch.bitwise_right_shift),
    "relax.power": float_only(torch.pow),
    "relax.atan2": float_only(torch.atan2),
    "relax.log_add_exp": float_only(torch.logaddexp),
    "relax.divide": plain(_divide(None)),
    "relax.floor_divide": plain(_divide("floor")),
    "relax.mod": plain(torch.fmod),
    "relax.floor_mod": plain(_floor_mod),
    "relax.clip": _clip,
    "relax.astype": _cast,
    "relax.max": _reduce(torch.amax),
    "relax.min": _reduce(torch.amin),
    "relax.sum": _reduce(_sum),
    "relax.prod": _reduce(_product),
    "relax.mean": _float_reduce(torch.mean),
    "relax.variance": _float_reduce(_variance),
    "relax.std": _float_reduce(_deviation),
    "relax.argmax": _arg(torch.argmax),
    "relax.argmin": _arg(torch.argmin),
    "relax.cumsum": _cumulative(torch.cumsum),
    "relax.cumprod": _cumulative(torch.cumprod),
    "relax.quantize": _quantize,
    "relax.dequantize": _dequantize,
    "relax.qnn.simulated_quantize": _simulated_quantize,
    "relax.round_half_away": _round_half_away,
    **{
        f"relax.annotation.{marker}": plain(lambda x: x)
        for marker in ("cast_hint", "stop_fusion", "barrier")
    },
    "relax.nn.relu": plain(torch.relu),
    "relax.nn.leakyrelu": lambda call, x: torch.where(x > 0, x, x * float(call.attrs.alpha)),
    "relax.nn.prelu": _prelu,
    "relax.nn.gelu": float_only(functional.gelu),
    "relax.nn.gelu_tanh": float_only(_gelu_tanh),
    "relax.nn.silu": float_only(functional.silu),
    "relax.nn.selu": float_only(functional.selu),
    "relax.nn.softplus": _softplus,
    "relax.nn.softmax": lambda call, x: torch.softmax(x, int(call.attrs.axis)),
    "relax.nn.log_softmax": lambda call, x: torch.log_softmax(x, int(call.attrs.axis)),
    "relax.nn.bias_add": lambda call, x, bias: x + _along(bias, x, int(call.attrs.axis)),
}
