"""Pools and reductions: sums in the type of the result, from the first element to the last."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from tvm_book.testing._reference._elements import cast, integers
from tvm_book.testing._reference._layers import pad_ends, windows

__all__ = ["POOLS", "reduced_axes"]


def add_up(x: np.ndarray) -> np.ndarray:
    """Sum over the first axis; integers wrap around."""
    if x.dtype.kind != "f":
        return x.sum(axis=0, dtype=np.int64).astype(x.dtype)
    total = np.zeros(x.shape[1:], x.dtype)
    for part in x:
        total = total + part
    return total


def divide(total: np.ndarray, count: Any) -> np.ndarray:
    """Divide a sum by how many elements it has; integers are truncated towards zero."""
    if total.dtype.kind == "f":
        return total / np.asarray(count, total.dtype)
    return (np.sign(total) * (np.abs(total.astype(np.int64)) // count)).astype(total.dtype)


def _check_layout(attrs: Any) -> None:
    if str(attrs.layout)[:2] != "NC" or str(attrs.out_layout) not in ("", str(attrs.layout)):
        raise NotImplementedError(
            f"a pool has the layout {attrs.layout}; the reference pools channels first, NC"
        )


def _taps(call, x, fill):
    """Return what each window covers: the taps first, row by row; then N, C, and positions."""
    _check_layout(call.attrs)
    kernel, strides, dilation, before, after = _window(call, x)
    padded = pad_ends(x, before, after, fill)
    seen, rank = windows(padded, kernel, strides, dilation), len(kernel)
    seen = seen[(..., *(slice(n) for n in integers(call.ty.shape)[2:]), *[slice(None)] * rank)]
    seen = np.moveaxis(seen, range(-rank, 0), range(rank))
    return seen.reshape(-1, *seen.shape[rank:])


def _window(call, x):
    attrs = call.attrs
    kernel, strides, dilation = (
        integers(getattr(attrs, name)) for name in ("pool_size", "strides", "dilation")
    )
    padding, rank = integers(attrs.padding), len(kernel)
    before, after = padding[:rank], padding[rank:]
    for i, extent in enumerate(integers(call.ty.shape)[2:]):  # ceil_mode reaches beyond the padding
        reach = (extent - 1) * strides[i] + (kernel[i] - 1) * dilation[i] + 1
        after[i] = max(after[i], reach - x.shape[2 + i] - before[i])
    return kernel, strides, dilation, before, after


def _max_pool(call, x):
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return _taps(call, x, lowest).max(axis=0)


def _avg_pool(call, x):
    return divide(add_up(_taps(call, x, 0)), _counts(call, x))


def _counts(call, x):
    """How many elements each window divides by (TVM 0.27, ``topi/nn/pooling.h``)."""
    kernel, strides, dilation, before, _ = _window(call, x)
    given = integers(call.attrs.padding)[len(kernel) :]
    counts = np.ones((), np.int64)
    for i, extent in enumerate(integers(call.ty.shape)[2:]):
        size, start = x.shape[2 + i], np.arange(extent) * strides[i] - before[i]
        taps = start[:, None] + np.arange(kernel[i]) * dilation[i]
        low, high = (-before[i], size + given[i]) if call.attrs.count_include_pad else (0, size)
        inside = ((taps >= low) & (taps < high)).sum(axis=1)
        counts = counts[..., None] * np.maximum(inside, 1)
    return counts


def _adaptive_avg_pool(call, x):
    _check_layout(call.attrs)
    result = np.empty(integers(call.ty.shape), x.dtype)
    sizes, extents = x.shape[2:], result.shape[2:]
    for position in product(*map(range, extents)):
        window = [
            slice(p * n // e, -(-(p + 1) * n // e))
            for p, n, e in zip(position, sizes, extents, strict=True)
        ]
        part = x[(..., *window)].reshape(*x.shape[:2], -1)
        result[(..., *position)] = divide(add_up(np.moveaxis(part, -1, 0)), part.shape[-1])
    return result


def _global_avg_pool(call, x):
    flat = x.reshape(*x.shape[:2], -1)
    mean = divide(add_up(np.moveaxis(flat, -1, 0)), flat.shape[-1])
    return mean.reshape(*x.shape[:2], 1, 1)


def reduced_axes(call: Any, x: np.ndarray) -> tuple[int, ...]:
    """Return the axes that a reduction is over, in order; None means all of them."""
    axes = call.attrs.axis
    if axes is None:
        return tuple(range(x.ndim))
    axes = axes if hasattr(axes, "__iter__") else [axes]
    return tuple(sorted(int(axis) % x.ndim for axis in axes))


def _shaped(call, value, dtype=None):
    value = np.asarray(value)
    return (value if dtype is None else cast(value, dtype)).reshape(integers(call.ty.shape))


def _sum(call, x):
    axes = reduced_axes(call, x)
    first = np.moveaxis(x, axes, range(len(axes)))
    return _shaped(call, add_up(first.reshape(-1, *first.shape[len(axes) :])))


def _mean(call, x):
    return divide(_sum(call, x), math.prod(x.shape[axis] for axis in reduced_axes(call, x)))


def _extreme(function):
    return lambda call, x: _shaped(call, function(x, axis=reduced_axes(call, x)))


def _position(function):
    def row(call, x):
        axis = call.attrs.axis
        found = function(
            x.reshape(-1) if axis is None else x, axis=0 if axis is None else int(axis)
        )
        return _shaped(call, found, str(call.ty.dtype))

    return row


POOLS = {
    **{f"relax.nn.max_pool{n}d": _max_pool for n in (1, 2, 3)},
    **{f"relax.nn.avg_pool{n}d": _avg_pool for n in (1, 2, 3)},
    **{f"relax.nn.adaptive_avg_pool{n}d": _adaptive_avg_pool for n in (1, 2, 3)},
    "relax.nn.global_avg_pool2d": _global_avg_pool,
    "relax.sum": _sum,
    "relax.mean": _mean,
    "relax.max": _extreme(np.max),
    "relax.min": _extreme(np.min),
    "relax.argmax": _position(np.argmax),
    "relax.argmin": _position(np.argmin),
}
