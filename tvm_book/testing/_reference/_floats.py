"""Float operators whose rounding IEEE 754 leaves open: computed in float64, rounded once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tvm_book.testing._reference._elements import integers
from tvm_book.testing._reference._moves import nearest, positions
from tvm_book.testing._reference._pools import reduced_axes

__all__ = ["FLOATS"]

Row = Callable[..., Any]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _wide(function: Row) -> Row:
    """Make a row that computes in float64 and rounds to the type of the result."""

    def row(call, *args):
        args = [arg.astype(np.float64) if _is_float(arg) else arg for arg in args]
        return np.asarray(function(call, *args)).astype(str(call.ty.dtype))

    return row


def _is_float(arg: Any) -> bool:
    return isinstance(arg, np.ndarray) and arg.dtype.kind == "f"


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def _gelu(x):
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def _gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _selu(x):
    # G. Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _softplus(call, x):
    beta, threshold = float(call.attrs.beta), float(call.attrs.threshold)
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


def _log_softmax(call, x):
    axis = int(call.attrs.axis)
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def _variance(call, x):
    axes, keep = reduced_axes(call, x), bool(call.attrs.keepdims)
    return x.var(axis=axes, keepdims=keep)


def _normalized(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    mean, variance = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon)


def _layer_norm(call, x, gamma, beta):
    axes = tuple(sorted(int(axis) % x.ndim for axis in call.attrs.axes))
    shape = [x.shape[i] if i in axes else 1 for i in range(x.ndim)]
    result = _normalized(x, axes, float(call.attrs.epsilon)) * gamma.reshape(shape)
    return result + beta.reshape(shape)


def _rms_norm(call, x, weight):
    axes = tuple(sorted(int(axis) % x.ndim for axis in call.attrs.axes))
    shape = [x.shape[i] if i in axes else 1 for i in range(x.ndim)]
    mean = np.square(x).mean(axis=axes, keepdims=True)
    return x / np.sqrt(mean + float(call.attrs.epsilon)) * weight.reshape(shape)


def _group_norm(call, x, gamma, beta):
    attrs = call.attrs
    channel, axes = int(attrs.channel_axis) % x.ndim, [int(axis) % x.ndim for axis in attrs.axes]
    channels = x.shape[channel]
    groups = int(getattr(attrs, "num_groups", channels))  # instance norm: each channel is one
    parts = x.reshape(*x.shape[:channel], groups, channels // groups, *x.shape[channel + 1 :])
    within = (channel + 1, *(axis + (axis > channel) for axis in axes if axis != channel))
    result = _normalized(parts, within, float(attrs.epsilon)).reshape(x.shape)
    shape = [channels if i == channel else 1 for i in range(x.ndim)]
    return result * gamma.reshape(shape) + beta.reshape(shape)


def _attention(call, query, key, value, bias=0.0):
    attrs = call.attrs
    if attrs.causal_mask is not None or attrs.window_size is not None:
        raise NotImplementedError("the reference has no attention with a causal mask or a window")
    query, key, value = (np.swapaxes(x, 1, 2) for x in (query, key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if attrs.scale is None else float(attrs.scale)
    scores = query @ np.swapaxes(key, 2, 3) * scale + bias
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.swapaxes(weights / weights.sum(axis=-1, keepdims=True) @ value, 1, 2)


def _cumulative(function):
    def row(call, x):
        axis, dtype = call.attrs.axis, str(call.ty.dtype)
        if call.attrs.exclusive:
            raise NotImplementedError("the reference has no exclusive cumulative operators")
        x, axis = (x.reshape(-1), 0) if axis is None else (x, int(axis))
        wide = np.float64 if x.dtype.kind == "f" else np.int64
        return function(x, axis=axis, dtype=wide).astype(dtype)

    return row


def _prod(call, x):
    wide = np.float64 if x.dtype.kind == "f" else np.int64
    result = np.prod(x, axis=reduced_axes(call, x), dtype=wide).astype(x.dtype)
    return np.asarray(result).reshape(integers(call.ty.shape))


def _resize2d(call, x, _size):
    """Nearest pixels are exact; between pixels, linearly, they are not."""
    attrs = call.attrs
    if str(attrs.method) == "nearest_neighbor":
        return nearest(call, x)
    if str(attrs.method) != "linear":
        raise NotImplementedError(
            f"resize2d(method={str(attrs.method)!r}); the reference knows nearest_neighbor, linear"
        )
    result = x.astype(np.float64)
    for axis in (str(attrs.layout).index("H"), str(attrs.layout).index("W")):
        size = x.shape[axis]
        at = positions(str(attrs.coordinate_transformation_mode), size, int(call.ty.shape[axis]))
        low = np.floor(at)
        weight = (at - low).astype(np.float64)
        weight = weight.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        first, second = (
            result.take(np.clip(low + i, 0, size - 1).astype(np.int64), axis=axis) for i in (0, 1)
        )
        result = first * (1 - weight) + second * weight
    return result.astype(x.dtype)


def _plain(function: Callable[..., Any]) -> Row:
    return _wide(lambda call, *args: function(*args))


FLOATS: dict[str, Row] = {
    **{
        f"relax.{name}": _plain(getattr(np, name))
        for name in (
            *("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh"),
            "power",
        )
    },
    **{
        f"relax.a{name}": _plain(getattr(np, f"arc{name}"))
        for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")
    },
    "relax.atan2": _plain(np.arctan2),
    "relax.log_add_exp": _plain(np.logaddexp),
    "relax.erf": _plain(_erf),
    "relax.rsqrt": _plain(lambda x: 1 / np.sqrt(x)),
    "relax.sigmoid": _plain(_sigmoid),
    "relax.nn.silu": _plain(lambda x: x * _sigmoid(x)),
    "relax.nn.gelu": _plain(_gelu),
    "relax.nn.gelu_tanh": _plain(_gelu_tanh),
    "relax.nn.selu": _plain(_selu),
    "relax.nn.softplus": _wide(_softplus),
    "relax.nn.softmax": _wide(lambda call, x: np.exp(_log_softmax(call, x))),
    "relax.nn.log_softmax": _wide(_log_softmax),
    "relax.variance": _wide(_variance),
    "relax.std": _wide(lambda call, x: np.sqrt(_variance(call, x))),
    "relax.nn.layer_norm": _wide(_layer_norm),
    "relax.nn.rms_norm": _wide(_rms_norm),
    "relax.nn.group_norm": _wide(_group_norm),
    "relax.nn.instance_norm": _wide(_group_norm),
    "relax.nn.attention": _wide(_attention),
    "relax.nn.attention_bias": _wide(_attention),
    "relax.prod": _prod,
    "relax.cumsum": _cumulative(np.cumsum),
    "relax.cumprod": _cumulative(np.cumprod),
    "relax.image.resize2d": _resize2d,
}
