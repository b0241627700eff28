"""Resizing of images to the nearest pixel, or linearly between pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from ..kernels._resize import linear, nearest
from ._fuse import Group, shape_of
from ._nest import constants
from ._plan import Plan
from ._pool import CHANNELS, channels_last, width

__all__ = ["accepts", "plan"]

DTYPES = {"nearest_neighbor": ("int8", "int32", "float32"), "linear": ("float32",)}
MODES = (
    "half_pixel",
    "align_corners",
    "asymmetric",
    "pytorch_half_pixel",
    "tf_half_pixel_for_nn",
)
# How the position becomes the index of a pixel; TVM moves the ends of intervals by an epsilon.
ROUNDING = {
    "round": np.round,
    "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
    "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
    "floor": lambda x: np.floor(x + np.float32(1e-5)),
    "ceil": lambda x: np.ceil(x - np.float32(1e-5)),
}


def accepts(walk: Any, var: relax.Var) -> bool:
    """Whether there is a kernel: channels first, a method and dtypes of the tables above."""
    call = walk.graph.bindings[var]
    attrs = call.attrs
    dtypes = {str(expr.ty.dtype) for expr in (call, call.args[0])}
    return (
        str(attrs.layout) == "NCHW"
        and len(dtypes) == 1
        and dtypes <= set(DTYPES.get(str(attrs.method), ()))
        and str(attrs.coordinate_transformation_mode) in MODES
        and str(attrs.rounding_method) in (*ROUNDING, "")
    )


def plan(walk: Any, group: Group) -> Any:
    """Return loops over output positions, which look up what to read in tables."""
    call = walk.graph.bindings[group.anchor]
    shape = shape_of(call)
    method, mode = str(call.attrs.method), str(call.attrs.coordinate_transformation_mode)
    lanes = width(walk.isa, shape[CHANNELS])
    value = channels_last(walk, call.args[0], lanes)
    tables: list[np.ndarray] = []
    for size, extent in zip(value.view.shape[2:], shape[2:], strict=True):
        if method == "linear":
            tables += _between(_positions(size, extent, mode), size)
        else:
            rounding = str(call.attrs.rounding_method)
            tables.append(_nearest(size, extent, mode, rounding))
    loops = linear if method == "linear" else nearest

    def body(kernel, arrays, finish):
        loops(kernel, arrays, shape, lanes, finish)

    inputs = [(value.expr, value.view), *constants(*tables)]
    return Plan(inputs, body, f"resize2d_{method}", axis=CHANNELS)


def _positions(size: int, extent: int, mode: str) -> np.ndarray:
    """Return where each output lies in the input, in float32 (TVM 0.27, ``topi/image``)."""
    at = np.arange(extent, dtype="float32")
    half, scale = np.float32(0.5), np.float32(size / extent)
    if mode == "align_corners":
        return np.float32((size - 1) / max(extent - 1, 1)) * at
    if mode == "asymmetric":
        return scale * at
    if mode == "tf_half_pixel_for_nn":
        return (at + half) * scale
    if mode == "pytorch_half_pixel" and extent == 1:
        return np.zeros(1, "float32")
    return (at + half) * scale - half


def _nearest(size: int, extent: int, mode: str, rounding: str) -> np.ndarray:
    """Return which index of the input each output reads."""
    if not rounding:
        rounding = "round" if mode == "align_corners" else "floor"
    if mode == "asymmetric" and rounding == "floor" and extent % size == 0:
        return np.arange(extent, dtype="int32") // (extent // size)
    index = ROUNDING[rounding](_positions(size, extent, mode))
    return np.clip(index, 0, size - 1).astype("int32")


def _between(at: np.ndarray, size: int) -> list[np.ndarray]:
    """Return which two indices of the input each output mixes, and the weight of the second."""
    low = np.floor(at)
    both = np.clip(np.concatenate([low, low + 1]), 0, size - 1)
    return [both.astype("int32"), at - low]
