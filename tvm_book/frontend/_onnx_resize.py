"""Relax spellings of ONNX's Resize, in the forms of `_torch_resize`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from tvm.relax import op

from ._onnx_node import Node
from ._torch_layers import Emit, shape_of
from ._torch_resize import _TAPS, _resize_axis

_COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
_CUBIC = -0.75  # the coefficient of cubic convolution that both ONNX and torch default to
_ROUND = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda position: np.ceil(position - 0.5),
    "round_prefer_ceil": lambda position: np.floor(position + 0.5),
}


def _resize(emit: Emit, node: Node, x, roi=None, scales=None, sizes=None):
    before = shape_of(x)
    after, scales = _target(node, before)
    mode = node["coordinate_transformation_mode"]
    if mode not in _COORDINATES or node["antialias"] or node["exclude_outside"]:
        raise NotImplementedError(f"{mode}, antialias or exclude_outside: use half_pixel alone")
    # which pixel is the nearest one may hang on the last bit
    tolerance = 0 if node["mode"] == "nearest" and mode != "align_corners" else 1e-6
    scales = [
        None if _is_whole(*axis, tolerance) else axis[-1]
        for axis in zip(before, after, scales, strict=True)
    ]
    if mode == "align_corners" and any(scales):
        raise NotImplementedError("align_corners with a broken number of pixels: give the sizes")
    image = len(before) == 4 and before[:2] == after[:2] and not any(scales)
    if node["mode"] == "nearest":
        if image and (mode, node["nearest_mode"]) == ("asymmetric", "floor"):
            options = {"coordinate_transformation_mode": mode, "rounding_method": "floor"}
            size = tuple(after[2:])
            return emit(op.image.resize2d(x, size, method="nearest_neighbor", **options))
        return _by_axis(emit, x, after, scales, lambda *axis: [(_nearest(node, *axis), None)])
    if image and not (mode == "align_corners" and 1 in after):  # it would divide by size - 1
        options = {"cubic_alpha": node["cubic_coeff_a"]} if node["mode"] == "cubic" else {}
        options |= {"coordinate_transformation_mode": mode, "method": node["mode"]}
        return emit(op.image.resize2d(x, tuple(after[2:]), **options))
    if mode == "asymmetric" or node["mode"] == "cubic" and node["cubic_coeff_a"] != _CUBIC:
        raise NotImplementedError(f"{mode} here: use half_pixel, and the usual cubic_coeff_a")
    if mode == "pytorch_half_pixel" and 1 in after:
        raise NotImplementedError("pytorch_half_pixel for a result of size 1: use half_pixel")
    taps = _TAPS[node["mode"]]
    return _by_axis(emit, x, after, scales, lambda *axis: taps(*axis, mode == "align_corners"))


def _target(node: Node, before: list[int]) -> tuple[list[int], list[float | None]]:
    """Return the size of every axis after the resizing, and the scale if that was given."""
    axes = list(node["axes"] or range(len(before)))
    after, scales = list(before), [None] * len(before)
    if not node.has(3):
        for axis, scale in zip(axes, node.known(2, "scales"), strict=True):
            after[axis] = int(np.floor(np.float32(before[axis]) * scale))
            scales[axis] = None if scale == 1 else float(scale)
        return after, scales
    if node["keep_aspect_ratio_policy"] != "stretch":
        raise NotImplementedError("keep_aspect_ratio_policy: write the sizes that it gives")
    for axis, size in zip(axes, node.known(3, "sizes").tolist(), strict=True):
        after[axis] = size
    return after, scales


def _is_whole(size: int, new_size: int, scale: float | None, tolerance: float) -> bool:
    """Whether steps of 1 / scale are steps of size / new_size, which is all that Relax knows."""
    return scale is None or math.isclose(size * scale, new_size, rel_tol=tolerance)


def _by_axis(emit: Emit, x, after: list[int], scales: list[float | None], taps: Callable):
    for axis, (new_size, scale) in enumerate(zip(after, scales, strict=True)):
        size = shape_of(x)[axis]
        if size != new_size or scale is not None:
            x = _resize_axis(emit, x, axis, taps(size, new_size, scale))
    return x


def _nearest(node: Node, size: int, new_size: int, scale: float | None) -> np.ndarray:
    """Return the pixels to take; Relax rounds halves in other ways."""
    mode, position = node["coordinate_transformation_mode"], np.arange(new_size)
    step = size / new_size if scale is None else 1 / scale
    if mode == "align_corners":
        source = position * (size - 1) / max(new_size - 1, 1)
    elif mode == "asymmetric":
        source = position * step
    elif mode == "pytorch_half_pixel" and new_size == 1:
        source = np.zeros(1)
    else:
        source = (position + 0.5) * step - 0.5
    return _ROUND[node["nearest_mode"]](source)


ONNX_RESIZE: dict[str, Callable] = {"Resize": _resize}
