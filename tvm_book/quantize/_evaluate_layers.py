"""Layers of Relax in torch: convolutions, matrix products, pools, normalization, attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional
from tvm import relax

from ._evaluate_math import is_float, to_torch_dtype

__all__ = ["LAYERS"]

_SPATIAL = {1: "W", 2: "HW", 3: "DHW"}
_NARROW = (torch.int8, torch.uint8, torch.int16)


def _ints(values: Any) -> list[int]:
    return [int(value) for value in values]


def _both_ends(padding: Any, n: int) -> tuple[list[int], list[int]]:
    """Split Relax's padding, all starts first, into starts and ends of the ``n`` axes."""
    padding = _ints(padding)
    return padding[:n], padding[n:]


def _pad_spatial(x: torch.Tensor, before: Sequence[int], after: Sequence[int], value: float = 0.0):
    if not any(before) and not any(after):
        return x
    widths = [w for pair in zip(before[::-1], after[::-1], strict=True) for w in pair]
    return functional.pad(x, widths, value=value)


def _product(call: relax.Call, function: Callable, a: torch.Tensor, b: torch.Tensor) -> Any:
    """Sum products in the type of the result, which is exact for integers of up to 16 bits."""
    dtype = to_torch_dtype(call.ty.dtype)
    if is_float(a, b):
        return function(a.to(dtype), b.to(dtype))
    if a.dtype not in _NARROW or b.dtype not in _NARROW:
        return NotImplemented
    # float64 holds the sums exactly; what does not fit the result wraps around, as integers do
    return function(a.double(), b.double()).to(torch.int64).to(dtype)


def _convolution(n: int) -> Callable[..., Any]:
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[n - 1]
    layouts = (f"NC{_SPATIAL[n]}", f"OI{_SPATIAL[n]}", f"NC{_SPATIAL[n]}")

    def row(call, x, weight):
        attrs = call.attrs
        if (attrs.data_layout, attrs.kernel_layout, attrs.out_layout) != layouts:
            return NotImplemented
        before, after = _both_ends(attrs.padding, n)
        if before != after:
            x, before = _pad_spatial(x, before, after), [0] * n
        options = {
            "stride": _ints(attrs.strides),
            "padding": before,
            "dilation": _ints(attrs.dilation),
            "groups": int(attrs.groups),
        }
        return _product(call, lambda a, b: convolve(a, b, **options), x, weight)

    return row


def _transposed_convolution(n: int) -> Callable[..., Any]:
    names = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
    convolve = getattr(functional, names[n - 1])
    layouts = (f"NC{_SPATIAL[n]}", f"IO{_SPATIAL[n]}", f"NC{_SPATIAL[n]}")

    def row(call, x, weight):
        attrs = call.attrs
        if (attrs.data_layout, attrs.kernel_layout, attrs.out_layout) != layouts:
            return NotImplemented
        before, after = _both_ends(attrs.padding, n)
        options = {
            "stride": _ints(attrs.strides),
            "padding": before if before == after else 0,
            "output_padding": _ints(attrs.output_padding),
            "dilation": _ints(attrs.dilation),
            "groups": int(attrs.groups),
        }
        result = _product(call, lambda a, b: convolve(a, b, **options), x, weight)
        if before == after or result is NotImplemented:
            return result
        return _pad_spatial(result, [-w for w in before], [-w for w in after])  # crop

    return row


def _windows(call: relax.Call, x: torch.Tensor, n: int) -> tuple[list[int], ...] | None:
    """Kernel, strides, dilation, start padding and the end padding that the output shape needs."""
    attrs = call.attrs
    if attrs.layout != f"NC{_SPATIAL[n]}" or attrs.out_layout != attrs.layout or not is_float(x):
        return None
    kernel, strides, dilation = (_ints(v) for v in (attrs.pool_size, attrs.strides, attrs.dilation))
    before, _ = _both_ends(attrs.padding, n)
    after = [
        (out - 1) * stride + (k - 1) * d + 1 - size - start
        for out, stride, k, d, size, start in zip(
            _ints(call.ty.shape)[2:], strides, kernel, dilation, x.shape[2:], before, strict=True
        )
    ]
    return kernel, strides, dilation, before, after


def _max_pool(n: int) -> Callable[..., Any]:
    pool = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[n - 1]

    def row(call, x):
        windows = _windows(call, x, n)
        if windows is None:
            return NotImplemented
        kernel, strides, dilation, before, after = windows
        x = _pad_spatial(x, before, after, -math.inf)
        return pool(x, kernel, strides, 0, dilation)

    return row


def _average_pool(n: int) -> Callable[..., Any]:
    pool = (None, functional.avg_pool2d, functional.avg_pool3d)[max(n, 2) - 1]

    def row(call, x):
        windows = _windows(call, x, n)
        if windows is None or any(d != 1 for d in windows[2]):
            return NotImplemented
        kernel, strides, _, before, after = windows
        counts = _counts(call, x, windows)
        x = _pad_spatial(x, before, after)
        if n == 1:  # only the pools of images can leave the division to us
            total = pool(x[:, :, None], [1, *kernel], [1, *strides], divisor_override=1)[:, :, 0]
        else:
            total = pool(x, kernel, strides, divisor_override=1)
        return total / counts

    return row


def _counts(call: relax.Call, x: torch.Tensor, windows: tuple[list[int], ...]) -> torch.Tensor:
    """How many elements each window divides by, as TVM counts them (``topi/nn/pooling.h``)."""
    kernel, strides, _, before, _ = windows
    _, given = _both_ends(call.attrs.padding, len(kernel))
    counts = torch.ones(())
    for axis, out in enumerate(_ints(call.ty.shape)[2:]):
        start = torch.arange(out) * strides[axis] - before[axis]
        end = start + kernel[axis]
        size = x.shape[2 + axis]
        if call.attrs.count_include_pad:
            end = end.clamp(max=size + given[axis])
        else:
            start, end = start.clamp(min=0), end.clamp(max=size)
        counts = counts[..., None] * (end - start).clamp(min=1).to(x.dtype)
    return counts


def _adaptive_average_pool(n: int) -> Callable[..., Any]:
    pool = getattr(functional, f"adaptive_avg_pool{n}d")

    def row(call, x):
        attrs = call.attrs
        if attrs.layout != f"NC{_SPATIAL[n]}" or attrs.out_layout != attrs.layout:
            return NotImplemented
        return pool(x, _ints(call.ty.shape)[2:]) if is_float(x) else NotImplemented

    return row


def _global_average_pool(call, x):
    return x.mean(dim=(2, 3), keepdim=True) if is_float(x) else NotImplemented


def _batch_norm(call, x, gamma, beta, mean, variance):
    attrs = call.attrs
    if attrs.training:
        return NotImplemented
    shape = [-1 if axis == int(attrs.axis) % x.ndim else 1 for axis in range(x.ndim)]
    deviation = torch.sqrt(variance.reshape(shape) + float(attrs.epsilon))
    result = (x - mean.reshape(shape)) / deviation
    if attrs.scale:
        result = result * gamma.reshape(shape)
    if attrs.center:
        result = result + beta.reshape(shape)
    return result, mean, variance


def _layer_norm(call, x, gamma, beta):
    axes = sorted(axis % x.ndim for axis in _ints(call.attrs.axes))
    if axes != list(range(x.ndim - len(axes), x.ndim)):
        return NotImplemented
    shape = x.shape[x.ndim - len(axes) :]
    return functional.layer_norm(x, shape, gamma, beta, float(call.attrs.epsilon))


def _rms_norm(call, x, weight):
    axes = sorted(axis % x.ndim for axis in _ints(call.attrs.axes))
    if axes != list(range(x.ndim - len(axes), x.ndim)):
        return NotImplemented
    mean = (x * x).mean(dim=axes, keepdim=True)
    return x * torch.rsqrt(mean + float(call.attrs.epsilon)) * weight


def _group_norm(call, x, gamma, beta):
    attrs = call.attrs
    axes = sorted(axis % x.ndim for axis in _ints(attrs.axes))
    if int(attrs.channel_axis) % x.ndim != 1 or axes != list(range(2, x.ndim)):
        return NotImplemented
    groups = getattr(attrs, "num_groups", x.shape[1])  # instance norm: every channel is a group
    return functional.group_norm(x, int(groups), gamma, beta, float(attrs.epsilon))


def _attention(call, query, key, value, bias=None):
    attrs = call.attrs
    if attrs.causal_mask is not None or attrs.window_size is not None:
        return NotImplemented
    query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
    scores = query @ key.transpose(2, 3)
    scale = attrs.scale
    scores = scores / math.sqrt(query.shape[-1]) if scale is None else scores * float(scale)
    if bias is not None:
        scores = scores + bias
    return (torch.softmax(scores, -1) @ value).transpose(1, 2)


LAYERS: dict[str, Callable[..., Any]] = {
    "relax.matmul": lambda call, a, b: _product(call, torch.matmul, a, b),
    "relax.nn.global_avg_pool2d": _global_average_pool,
    "relax.nn.batch_norm": _batch_norm,
    "relax.nn.layer_norm": _layer_norm,
    "relax.nn.rms_norm": _rms_norm,
    "relax.nn.group_norm": _group_norm,
    "relax.nn.instance_norm": _group_norm,
    "relax.nn.dropout": lambda call, x: (x, torch.ones_like(x)),
    "relax.nn.attention": _attention,
    "relax.nn.attention_bias": _attention,
    **{f"relax.nn.conv{n}d": _convolution(n) for n in _SPATIAL},
    **{f"relax.nn.conv{n}d_transpose": _transposed_convolution(n) for n in _SPATIAL},
    **{f"relax.nn.max_pool{n}d": _max_pool(n) for n in _SPATIAL},
    **{f"relax.nn.avg_pool{n}d": _average_pool(n) for n in _SPATIAL},
    **{f"relax.nn.adaptive_avg_pool{n}d": _adaptive_average_pool(n) for n in _SPATIAL},
}
