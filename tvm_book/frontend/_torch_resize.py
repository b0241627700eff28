"""Relax spellings of resizing.

A new size goes to ``R.image.resize2d``. That operator samples at steps of size / new size, torch
at steps of 1 / factor if it was given a factor. Where the two differ, and for other than two
spatial axes, the result is a sum of rows that are taken and weighted along one axis at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax
from tvm.relax import op

from ._torch_layers import Emit, constant, shape_of

_CUBIC = -0.75  # torch's coefficient of cubic convolution (ATen/native/UpSample.h)
_RELAX_METHOD = {"nearest": "nearest_neighbor", "linear": "linear", "cubic": "cubic"}


def _positions(size: int, new_size: int, factor: float | None, align_corners: bool) -> np.ndarray:
    """Return where each new pixel lies among the old ones, in float32 as torch computes it."""
    new = np.arange(new_size, dtype="float32")
    if align_corners:
        return new * np.float32((size - 1) / (new_size - 1) if new_size > 1 else 0)
    step = np.float32(size / new_size if factor is None else 1 / factor)
    return (new + np.float32(0.5)) * step - np.float32(0.5)


def _nearest(size: int, new_size: int, factor: float | None, align_corners: bool) -> list:
    step = np.float32(size / new_size if factor is None else 1 / factor)
    return [(np.floor(np.arange(new_size, dtype="float32") * step), None)]


def _nearest_exact(size: int, new_size: int, factor: float | None, align_corners: bool) -> list:
    step = np.float32(size / new_size if factor is None else 1 / factor)
    return [(np.floor((np.arange(new_size, dtype="float32") + np.float32(0.5)) * step), None)]


def _linear(*arguments: Any) -> list:
    position = np.maximum(_positions(*arguments), 0)
    first = np.floor(position)
    right = position - first
    return [(first, 1 - right), (first + 1, right)]


def _cubic(*arguments: Any) -> list:
    position = _positions(*arguments)
    first = np.floor(position)
    t, a = position - first, np.float32(_CUBIC)

    def near(x):
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x):
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    weights = [far(t + 1), near(t), near(1 - t), far(2 - t)]
    return [(first + shift, weight) for shift, weight in zip((-1, 0, 1, 2), weights, strict=True)]


# Each returns pairs of row numbers and weights; row numbers past an edge mean the edge.
_TAPS = {
    "nearest": _nearest,
    "nearest_exact": _nearest_exact,
    "linear": _linear,
    "cubic": _cubic,
}


def _resize_axis(emit: Emit, image: relax.Expr, axis: int, taps: list) -> relax.Expr:
    sizes = shape_of(image)
    total = None
    for rows, weight in taps:
        rows = np.clip(rows, 0, sizes[axis] - 1)
        term = emit(op.take(image, constant(rows, "int64"), axis=axis, mode="clip"))
        if weight is not None:
            shape = [-1 if other == axis else 1 for other in range(len(sizes))]
            term = emit(op.multiply(term, constant(weight.reshape(shape))))
        total = term if total is None else emit(op.add(total, term))
    return total


def _resize(method: str) -> Callable:
    def convert(emit, node, input, output_size, scale_factors, align_corners=False):
        image, before, after = input, shape_of(input)[2:], list(node.meta["val"].shape[2:])
        # with aligned corners the factor sets the size only
        factors = [None] * len(before) if align_corners else scale_factors or [None] * len(before)
        whole = all(
            factor is None or size * factor == new_size
            for size, new_size, factor in zip(before, after, factors, strict=True)
        )
        # resize2d would divide by new_size - 1
        single = align_corners and 1 in after
        if len(before) == 2 and method in _RELAX_METHOD and whole and not single:
            return emit(_resize2d(image, after, method, align_corners))
        for axis, (size, new_size, factor) in enumerate(
            zip(before, after, factors, strict=True), start=2
        ):
            if size != new_size or factor not in (None, 1):
                taps = _TAPS[method](size, new_size, factor, align_corners)
                image = _resize_axis(emit, image, axis, taps)
        return image

    return convert


def _resize2d(image: relax.Expr, size: list[int], method: str, align_corners: bool) -> relax.Expr:
    mode = {"coordinate_transformation_mode": "align_corners" if align_corners else "half_pixel"}
    if method == "nearest":
        mode = {"coordinate_transformation_mode": "asymmetric", "rounding_method": "floor"}
    return op.image.resize2d(image, tuple(size), method=_RELAX_METHOD[method], **mode)


RESIZING: dict[str, Callable[..., Any]] = {
    "upsample_nearest1d.vec": _resize("nearest"),
    "upsample_nearest2d.vec": _resize("nearest"),
    "upsample_nearest3d.vec": _resize("nearest"),
    "_upsample_nearest_exact1d.vec": _resize("nearest_exact"),
    "_upsample_nearest_exact2d.vec": _resize("nearest_exact"),
    "upsample_linear1d.vec": _resize("linear"),
    "upsample_bilinear2d.vec": _resize("linear"),
    "upsample_trilinear3d.vec": _resize("linear"),
    "upsample_bicubic2d.vec": _resize("cubic"),
}
