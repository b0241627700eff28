"""Relax spellings of pools and of what else makes images of images.

The conventions are those of `_torch_layers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax
from tvm.relax import op

from ._torch_layers import SPATIAL, Emit, constant, shape_of
from ._torch_pad import PADDING
from ._torch_resize import RESIZING


def _pool(kind: str, spatial: int, with_indices: bool = False) -> Callable:
    pool = getattr(op.nn, f"{kind}_pool{spatial}d")

    def convert(emit, node, self, kernel_size, stride, padding, ceil_mode, **options):
        window = {
            "pool_size": list(kernel_size),
            "strides": list(stride or kernel_size),
            "padding": list(padding),
            "ceil_mode": ceil_mode,
        }
        divisor = options.pop("divisor_override", None)
        batched = len(shape_of(self)) == spatial + 2
        data = self if batched else emit(op.expand_dims(self, 0))
        if divisor is not None:
            data = _pad_windows(emit, data, node.meta["val"].shape[-spatial:], window)
            options["count_include_pad"] = True
        options = {k: list(v) if k == "dilation" else v for k, v in options.items()}
        result = emit(pool(data, layout=f"NC{SPATIAL[spatial]}", **window, **options))
        if divisor is not None:
            result = emit(op.multiply(result, constant(math.prod(kernel_size) / divisor)))
        result = result if batched else emit(op.squeeze(result, [0]))
        return [result, None] if with_indices else result

    return convert


def _pad_windows(emit: Emit, data: relax.Expr, new_sizes: Any, window: dict) -> relax.Expr:
    """Write the zeros around the image out, so that every window has all of its elements."""
    width = [0, 0, 0, 0]
    sizes = shape_of(data)[2:]
    for size, new_size, kernel, step, pad in zip(
        sizes, new_sizes, window["pool_size"], window["strides"], window["padding"], strict=True
    ):
        width += [pad, max(0, (new_size - 1) * step + kernel - size - pad)]
    window.update(padding=[0] * len(sizes), ceil_mode=False)
    return emit(op.nn.pad(data, width))


def _adaptive_max_pool(spatial: int) -> Callable:
    def convert(emit, node, self, output_size):
        sizes = shape_of(self)[-spatial:]
        if any(size % new_size for size, new_size in zip(sizes, output_size, strict=True)):
            raise NotImplementedError(
                f"the windows of an adaptive max pool from {sizes} to {list(output_size)} differ "
                "in size: use an output size that divides the input size, or nn.MaxPool"
            )
        kernel = [size // new_size for size, new_size in zip(sizes, output_size, strict=True)]
        options = {"stride": kernel, "padding": [0] * spatial, "ceil_mode": False}
        return [_pool("max", spatial)(emit, node, self, kernel, **options), None]

    return convert


def _instance_norm(
    emit, node, input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, **_
):
    rank, channels = len(shape_of(input)), shape_of(input)[1]
    scale = constant(np.ones(channels)) if weight is None else weight
    shift = constant(np.zeros(channels)) if bias is None else bias
    if use_input_stats:
        axes = list(range(2, rank))
        return emit(op.nn.instance_norm(input, scale, shift, 1, axes, epsilon=eps))
    statistics = (running_mean, running_var)
    normalized = op.nn.batch_norm(input, scale, shift, *statistics, 1, epsilon=eps, training=False)
    return emit(relax.TupleGetItem(emit(normalized), 0))


IMAGES: dict[str, Callable[..., Any]] = {
    "max_pool2d_with_indices.default": _pool("max", 2, with_indices=True),
    "max_pool3d_with_indices.default": _pool("max", 3, with_indices=True),
    "max_pool1d.default": _pool("max", 1),
    "max_pool2d.default": _pool("max", 2),
    "max_pool3d.default": _pool("max", 3),
    "avg_pool1d.default": _pool("avg", 1),
    "avg_pool2d.default": _pool("avg", 2),
    "avg_pool3d.default": _pool("avg", 3),
    "adaptive_max_pool1d.default": _adaptive_max_pool(1),
    "adaptive_max_pool2d.default": _adaptive_max_pool(2),
    "adaptive_max_pool3d.default": _adaptive_max_pool(3),
    "instance_norm.default": _instance_norm,
    **RESIZING,
    **PADDING,
}
