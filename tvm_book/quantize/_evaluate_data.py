"""Operators of Relax that move, pick, make or resize data, in torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from tvm import relax

from ._evaluate_math import is_float, plain, to_torch_dtype

__all__ = ["DATA"]

Row = Callable[..., Any]


def _stack(call, tensors):
    return torch.stack(tensors, int(call.attrs.axis or 0))


def _split(call: relax.Call, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    where, axis = call.attrs.indices_or_sections, int(call.attrs.axis)
    if hasattr(where, "value"):  # a number of parts, the last of which may be smaller
        size = math.ceil(x.shape[axis] / where.value)
        where = range(size, size * where.value, size)
    return torch.tensor_split(x, [int(index) for index in where], axis)


def _strided_slice(call, x, axes, begin, end, strides=None):
    for axis, start, stop, step in zip(axes, begin, end, strides or [1] * len(axes), strict=True):
        positions = range(x.shape[axis])[
            slice(start, None if stop < -x.shape[axis] else stop, step)
        ]
        if step > 0:
            x = x[
                (slice(None),) * (axis % x.ndim) + (slice(positions.start, positions.stop, step),)
            ]
        else:  # torch slices forwards only
            x = x.index_select(axis, torch.tensor(list(positions), dtype=torch.int64))
    return x


def _take(call, x, indices):
    attrs = call.attrs
    x, axis = (x.reshape(-1), 0) if attrs.axis is None else (x, int(attrs.axis) % x.ndim)
    if attrs.mode not in ("fast", "clip", "wrap") or not isinstance(indices, torch.Tensor):
        return NotImplemented
    size, rows = x.shape[axis], indices.to(torch.int64).reshape(-1)
    rows = torch.remainder(rows, size) if attrs.mode == "wrap" else rows.clamp(0, size - 1)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    return x.index_select(axis, rows).reshape(shape)


def _gather(call, x, indices):
    return torch.gather(x, int(call.attrs.axis), indices.to(torch.int64))


def _permute(call, x):
    axes = call.attrs.axes
    return x.permute(*range(x.ndim)[::-1] if axes is None else [int(axis) for axis in axes])


def _squeeze(call, x):
    axes = call.attrs.axis
    return x.squeeze() if axes is None else x.squeeze([int(axis) for axis in axes])


def _expand_dims(call, x):
    rank = x.ndim + len(call.attrs.axis)
    for axis in sorted(int(axis) % rank for axis in call.attrs.axis):
        x = x.unsqueeze(axis)
    return x


def _repeat(call, x):
    axis = call.attrs.axis
    return x.repeat_interleave(int(call.attrs.repeats), None if axis is None else int(axis))


def _pad(call, x):
    width, mode = [int(w) for w in call.attrs.pad_width], str(call.attrs.pad_mode)
    if mode == "constant":
        pairs = zip(width[::2], width[1::2], strict=True)
        widths = [w for pair in list(pairs)[::-1] for w in pair]
        value = float(call.attrs.pad_value)
        return functional.pad(x, widths, value=value if x.is_floating_point() else int(value))
    if mode not in _SOURCES:
        return NotImplemented
    for axis, size in enumerate(x.shape):
        before, after = width[2 * axis], width[2 * axis + 1]
        if before or after:
            positions = _SOURCES[mode](torch.arange(-before, size + after), size)
            x = x.index_select(axis, positions)
    return x


_SOURCES = {  # where the value at a position outside comes from
    "reflect": lambda i, size: size - 1 - (size - 1 - i.abs()).abs(),
    "replicate": lambda i, size: i.clamp(0, size - 1),
    "circular": lambda i, size: torch.remainder(i, size),
}


def _index_put(call, x, indices, values):
    indices = indices if isinstance(indices, tuple) else (indices,)
    return torch.index_put(x, indices, values, accumulate=bool(call.attrs.accumulate))


def _full(value: float | None) -> Row:
    def row(call, shape_or_like, fill=value):
        like = isinstance(shape_or_like, torch.Tensor)
        shape = shape_or_like.shape if like else shape_or_like
        fill = fill.item() if isinstance(fill, torch.Tensor) else fill
        return torch.full(tuple(shape), fill, dtype=to_torch_dtype(call.ty.dtype))

    return row


def _arange(call, *limits):
    return torch.arange(*limits, dtype=to_torch_dtype(call.ty.dtype))


def _triangle(function: Callable[..., torch.Tensor]) -> Row:
    return lambda call, x, k=0: function(x, int(k))


def _resize2d(call, x, size):
    attrs = call.attrs
    mode, method = attrs.coordinate_transformation_mode, attrs.method
    known = mode in _POSITIONS and method in _TAPS and not attrs.cubic_exclude
    if not known or not is_float(x) or attrs.layout not in ("NCHW", "NHWC"):
        return NotImplemented
    for letter, new_size in zip("WH", size[::-1], strict=True):  # TVM blends columns first
        axis = attrs.layout.index(letter)
        old_size = x.shape[axis]
        new = np.arange(new_size, dtype="float32")
        positions = _POSITIONS[mode](new, np.float32(old_size), np.float32(new_size))
        total = 0
        for rows, weights in _TAPS[method](positions, attrs):
            rows = torch.from_numpy(np.clip(rows, 0, old_size - 1).astype("int64"))
            part = x.index_select(axis, rows)
            if weights is not None:
                shape = [-1 if i == axis else 1 for i in range(x.ndim)]
                part = part * torch.from_numpy(weights.astype("float32")).reshape(shape)
            total = total + part
        x = total
    return x


def _align_corners(i: np.ndarray, old: np.float32, new: np.float32) -> np.ndarray:
    return (old - 1) / max(new - 1, np.float32(1)) * i


# Positions among the old rows, in float32 (``topi/image/resize.py``, ``get_inx``).
_HALF = np.float32(0.5)
_POSITIONS = {
    "half_pixel": lambda i, old, new: (i + _HALF) * (old / new) - _HALF,
    "pytorch_half_pixel": lambda i, old, new: (
        (i + _HALF) * (old / new) - _HALF if new > 1 else i * 0
    ),
    "tf_half_pixel_for_nn": lambda i, old, new: (i + _HALF) * (old / new),
    "asymmetric": lambda i, old, new: old / new * i,
    "align_corners": _align_corners,
}

_EPSILON = np.float32(1e-5)  # TVM's, against positions just below a whole number
_NEAREST = {
    "round": np.round,
    "round_prefer_floor": lambda x: np.ceil(x - _HALF),
    "round_prefer_ceil": lambda x: np.floor(x + _HALF),
    "floor": lambda x: np.floor(x + _EPSILON),
    "ceil": lambda x: np.ceil(x - _EPSILON),
}


def _nearest(x: np.ndarray, attrs: Any) -> list[tuple]:
    corners = attrs.coordinate_transformation_mode == "align_corners"
    rounding = attrs.rounding_method or ("round" if corners else "floor")
    return [(_NEAREST[rounding](x), None)]


def _linear(x: np.ndarray, attrs: Any) -> list[tuple]:
    first = np.floor(x)
    return [(first, 1 - (x - first)), (first + 1, x - first)]


def _cubic(x: np.ndarray, attrs: Any) -> list[tuple]:
    first, a = np.floor(x), np.float32(attrs.cubic_alpha)
    t = x - first
    weights = [
        a * (t**3 - 2 * t**2 + t),
        (a + 2) * t**3 - (a + 3) * t**2 + 1,
        -(a + 2) * t**3 + (2 * a + 3) * t**2 - a * t,
        a * (t**2 - t**3),
    ]
    return [(first + i - 1, weight) for i, weight in enumerate(weights)]


# Rows to blend, with their weights; None is 1.
_TAPS = {"nearest_neighbor": _nearest, "linear": _linear, "cubic": _cubic}


DATA: dict[str, Row] = {
    "relax.reshape": lambda call, x, shape: x.reshape(shape),
    "relax.flatten": plain(torch.Tensor.flatten),
    "relax.nn.batch_flatten": lambda call, x: x.flatten(1),
    "relax.broadcast_to": lambda call, x, shape: x.broadcast_to(shape),
    "relax.permute_dims": _permute,
    "relax.squeeze": _squeeze,
    "relax.expand_dims": _expand_dims,
    "relax.concat": lambda call, tensors: torch.cat(tensors, int(call.attrs.axis)),
    "relax.stack": _stack,
    "relax.split": _split,
    "relax.strided_slice": _strided_slice,
    "relax.take": _take,
    "relax.gather_elements": _gather,
    "relax.index_tensor": lambda call, x, indices: x[tuple(indices)],
    "relax.index_put": _index_put,
    "relax.repeat": _repeat,
    "relax.tile": lambda call, x: x.tile([int(n) for n in call.attrs.repeats]),
    "relax.flip": lambda call, x: x.flip([int(call.attrs.axis)]),
    "relax.nn.pad": _pad,
    "relax.tril": _triangle(torch.tril),
    "relax.triu": _triangle(torch.triu),
    "relax.full": _full(None),
    "relax.full_like": _full(None),
    "relax.zeros": _full(0),
    "relax.zeros_like": _full(0),
    "relax.ones": _full(1),
    "relax.ones_like": _full(1),
    "relax.arange": _arange,
    "relax.image.resize2d": _resize2d,
}
