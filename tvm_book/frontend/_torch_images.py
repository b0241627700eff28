"""Relax spellings of pooling and resizing, under the conventions of `_torch_layers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.relax import op

from ._torch_layers import SPATIAL, shape_of


def _pool(kind: str, spatial: int, with_indices: bool = False) -> Callable:
    pool = getattr(op.nn, f"{kind}_pool{spatial}d")

    def convert(emit, node, self, kernel_size, stride, padding, ceil_mode, **options):
        if options.pop("divisor_override", None) is not None:
            raise NotImplementedError("divisor_override has no counterpart: scale the result")
        batched = len(shape_of(self)) == spatial + 2
        data = self if batched else emit(op.expand_dims(self, 0))
        options = {k: list(v) if k == "dilation" else v for k, v in options.items()}
        result = emit(
            pool(
                data,
                pool_size=list(kernel_size),
                strides=list(stride or kernel_size),
                padding=list(padding),
                ceil_mode=ceil_mode,
                layout=f"NC{SPATIAL[spatial]}",
                **options,
            )
        )
        result = result if batched else emit(op.squeeze(result, [0]))
        return [result, None] if with_indices else result

    return convert


def _resize(method: str) -> Callable:
    # A traced module has the form with scales_h and scales_w, the others that with scale_factors.
    def convert(
        emit,
        node,
        align_corners=False,
        scale_factors=None,
        scales_h=None,
        scales_w=None,
        **data,
    ):
        image = data.get("input", data.get("self"))
        before, after = shape_of(image)[2:], list(node.meta["val"].shape[2:])
        factors = scale_factors or (scales_h, scales_w)
        for size, new_size, factor in zip(before, after, factors, strict=True):
            # torch samples at steps of 1 / factor, Relax at steps of size / new_size.
            if factor is not None and size * factor != new_size and not align_corners:
                raise NotImplementedError(
                    f"scale_factor {factor} does not turn {size} into a whole number: "
                    "pass size=..., or recompute_scale_factor=True"
                )
        nearest = {"coordinate_transformation_mode": "asymmetric", "rounding_method": "floor"}
        smooth = {
            "coordinate_transformation_mode": "align_corners" if align_corners else "half_pixel"
        }
        mode = nearest if method == "nearest_neighbor" else smooth
        return emit(op.image.resize2d(image, tuple(after), method=method, **mode))

    return convert


IMAGES: dict[str, Callable[..., Any]] = {
    "max_pool2d_with_indices.default": _pool("max", 2, with_indices=True),
    "max_pool3d_with_indices.default": _pool("max", 3, with_indices=True),
    "max_pool1d.default": _pool("max", 1),
    "max_pool2d.default": _pool("max", 2),
    "max_pool3d.default": _pool("max", 3),
    "avg_pool2d.default": _pool("avg", 2),
    "avg_pool3d.default": _pool("avg", 3),
    "upsample_nearest2d.default": _resize("nearest_neighbor"),
    "upsample_nearest2d.vec": _resize("nearest_neighbor"),
    "upsample_bilinear2d.vec": _resize("linear"),
    "upsample_bicubic2d.vec": _resize("cubic"),
}
