"""Operators that move, pick, join, repeat or make elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tvm_book.testing._reference._elements import integers

__all__ = ["MOVES", "positions"]


def _shaped(call, x, *_):
    return x.reshape(integers(call.ty.shape))


def _permute(call, x):
    axes = call.attrs.axes
    return x.transpose(None if axes is None else integers(axes))


def _split(call, x):
    where, axis = call.attrs.indices_or_sections, int(call.attrs.axis)
    if hasattr(where, "value"):  # a number of parts, the last of which may be smaller
        size = math.ceil(x.shape[axis] / int(where.value))
        where = range(size, size * int(where.value), size)
    ends = [min(int(end), x.shape[axis]) for end in where]
    return tuple(np.split(x, ends, axis))


def _strided_slice(call, x, axes, begin, end, strides=None):
    for axis, start, stop, step in zip(axes, begin, end, strides or [1] * len(axes), strict=True):
        size = x.shape[axis]
        # -1 counts from the end, but beyond the first element nothing is left to count
        kept = range(size)[slice(start, None if step < 0 and stop < -size else stop, step)]
        x = x.take(list(kept), axis=axis)
    return x


def _take(call, x, indices):
    axis, mode = call.attrs.axis, str(call.attrs.mode)
    modes = {"fast": "clip", "clip": "clip", "wrap": "wrap"}
    if mode not in modes:
        raise NotImplementedError(f"take(mode={mode!r}); the reference knows {', '.join(modes)}")
    indices = np.asarray(indices, np.int64)
    return np.take(x, indices, None if axis is None else int(axis), mode=modes[mode])


def _pad(call, x):
    width, mode = integers(call.attrs.pad_width), str(call.attrs.pad_mode)
    pairs = list(zip(width[::2], width[1::2], strict=True))
    if mode == "constant":
        value = float(call.attrs.pad_value)
        value = x.dtype.type(value if x.dtype.kind == "f" else int(value))
        return np.pad(x, pairs, constant_values=value)
    names = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode not in names:
        raise NotImplementedError(f"pad(pad_mode={mode!r}); the reference knows {', '.join(names)}")
    return np.pad(x, pairs, mode=names[mode])


def _repeat(call, x):
    axis = call.attrs.axis
    return np.repeat(x, int(call.attrs.repeats), None if axis is None else int(axis))


def _pixel_shuffle(call, x):
    factor, (rows, columns) = int(call.attrs.upscale_factor), x.shape[-2:]
    lead = x.shape[:-3]
    parts = x.reshape(*lead, -1, factor, factor, rows, columns)
    n = len(lead)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return parts.transpose(order).reshape(integers(call.ty.shape))


def _make(value: float | None) -> Callable[..., np.ndarray]:
    def row(call, _shape_or_like, fill=value):
        return np.full(integers(call.ty.shape), fill, str(call.ty.dtype))

    return row


def positions(mode: str, size: int, extent: int) -> np.ndarray:
    """Return where each of ``extent`` pixels lies among ``size``, in float32 (``topi/image``)."""
    at, half = np.arange(extent, dtype=np.float32), np.float32(0.5)
    scale = np.float32(size) / np.float32(extent)
    if mode == "align_corners":
        return np.float32(size - 1) / np.float32(max(extent - 1, 1)) * at
    if mode == "pytorch_half_pixel" and extent == 1:
        return at
    known: dict[str, Callable[[], np.ndarray]] = {
        "asymmetric": lambda: scale * at,
        "tf_half_pixel_for_nn": lambda: (at + half) * scale,
        "half_pixel": lambda: (at + half) * scale - half,
        "pytorch_half_pixel": lambda: (at + half) * scale - half,
    }
    if mode not in known:
        raise NotImplementedError(
            f"resize2d(coordinate_transformation_mode={mode!r}); the reference knows "
            f"align_corners, {', '.join(known)}"
        )
    return known[mode]()


_EPSILON = np.float32(1e-5)  # TVM's, against positions just below a whole number
NEAREST: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round": np.rint,
    "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
    "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
    "floor": lambda x: np.floor(x + _EPSILON),
    "ceil": lambda x: np.ceil(x - _EPSILON),
}


def nearest(call: Any, x: np.ndarray) -> np.ndarray:
    """Read the nearest pixel of each."""
    attrs = call.attrs
    mode, layout = str(attrs.coordinate_transformation_mode), str(attrs.layout)
    rounding = str(attrs.rounding_method) or ("round" if mode == "align_corners" else "floor")
    for axis in (layout.index("H"), layout.index("W")):
        size = x.shape[axis]
        at = NEAREST[rounding](positions(mode, size, int(call.ty.shape[axis])))
        x = x.take(np.clip(at, 0, size - 1).astype(np.int64), axis=axis)
    return x


MOVES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(
        (
            *("relax.reshape", "relax.squeeze", "relax.expand_dims", "relax.flatten"),
            "relax.nn.batch_flatten",
        ),
        _shaped,
    ),
    "relax.broadcast_to": lambda call, x, shape: np.broadcast_to(x, shape),
    "relax.permute_dims": _permute,
    "relax.concat": lambda call, parts: np.concatenate(parts, int(call.attrs.axis or 0)),
    "relax.stack": lambda call, parts: np.stack(parts, int(call.attrs.axis or 0)),
    "relax.split": _split,
    "relax.strided_slice": _strided_slice,
    "relax.take": _take,
    "relax.gather_elements": lambda call, x, indices: np.take_along_axis(
        x, indices.astype(np.int64), int(call.attrs.axis)
    ),
    "relax.flip": lambda call, x: np.flip(x, int(call.attrs.axis)),
    "relax.repeat": _repeat,
    "relax.tile": lambda call, x: np.tile(x, integers(call.attrs.repeats)),
    "relax.nn.pad": _pad,
    "relax.nn.pixel_shuffle": _pixel_shuffle,
    "relax.full": _make(None),
    "relax.full_like": _make(None),
    "relax.zeros": _make(0),
    "relax.zeros_like": _make(0),
    "relax.ones": _make(1),
    "relax.ones_like": _make(1),
}
