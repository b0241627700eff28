"""Relax spellings of the layers: convolution, linear, normalization, pooling, resizing.

A converter gets ``emit``, the fx node, and the operator's arguments by their names in the torch
schema. The spelling of convolution, linear and batch norm is a contract with the quantizer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax
from tvm.relax import op

Emit = Callable[[relax.Expr], relax.Expr]
_SPATIAL = {1: "W", 2: "HW", 3: "DHW"}


def constant(value: Any, dtype: str = "float32") -> relax.Expr:
    """Return a Relax constant."""
    return relax.const(np.asarray(value, dtype), dtype)


def shape_of(value: relax.Expr) -> list[int]:
    """Return the sizes of a value whose shape is static."""
    return [int(size) for size in value.ty.shape]


def _convolution(
    emit, node, input, weight, bias, stride, padding, dilation, transposed, output_padding, groups
):
    spatial = len(stride)
    axes = _SPATIAL[spatial]
    options = {"output_padding": list(output_padding)} if transposed else {}
    convolve = getattr(op.nn, f"conv{spatial}d" + ("_transpose" if transposed else ""))
    result = emit(
        convolve(
            input,
            weight,
            strides=list(stride),
            padding=list(padding),
            dilation=list(dilation),
            groups=groups,
            data_layout=f"NC{axes}",
            kernel_layout=f"IO{axes}" if transposed else f"OI{axes}",
            **options,
        )
    )
    return result if bias is None else _add_bias(emit, result, bias, axis=1)


def _add_bias(emit: Emit, result: relax.Expr, bias: relax.Expr, axis: int) -> relax.Expr:
    shape = [1] * len(shape_of(result))
    shape[axis] = shape_of(bias)[0]
    return emit(op.add(result, emit(op.reshape(bias, shape))))


def _linear(emit, node, input, weight, bias):
    result = emit(op.matmul(input, emit(op.permute_dims(weight))))
    return result if bias is None else _add_bias(emit, result, bias, axis=-1)


def _addmm(emit, node, self, mat1, mat2, beta, alpha):
    # A program that was decomposed before has its linear layers in this form.
    result = emit(op.matmul(mat1, mat2))
    if alpha != 1:
        result = emit(op.multiply(result, constant(alpha)))
    if beta != 1:
        self = emit(op.multiply(self, constant(beta)))
    if len(shape_of(self)) == 1:
        return _add_bias(emit, result, self, axis=-1)
    return emit(op.add(result, self))


def _matmul(emit, node, self, other=None, mat2=None):
    return emit(op.matmul(self, mat2 if other is None else other))


def _batch_norm(emit, node, input, weight, bias, running_mean, running_var, momentum, eps):
    channels = shape_of(input)[1]
    result = emit(
        op.nn.batch_norm(
            input,
            constant(np.ones(channels)) if weight is None else weight,
            constant(np.zeros(channels)) if bias is None else bias,
            running_mean,
            running_var,
            axis=1,
            epsilon=eps,
            training=False,
        )
    )
    # The other two results are statistics that torch wants for training only.
    return [emit(relax.TupleGetItem(result, 0)), None, None]


def _layer_norm(emit, node, input, normalized_shape, weight, bias, eps, **_):
    return emit(
        op.nn.layer_norm(
            input,
            constant(np.ones(normalized_shape)) if weight is None else weight,
            constant(np.zeros(normalized_shape)) if bias is None else bias,
            axes=list(range(-len(normalized_shape), 0)),
            epsilon=eps,
        )
    )


def _native_layer_norm(emit, node, **arguments):
    return [_layer_norm(emit, node, **arguments), None, None]


def _group_norm(emit, node, input, num_groups, weight, bias, eps, **_):
    shape = shape_of(input)
    return emit(
        op.nn.group_norm(
            input,
            constant(np.ones(shape[1])) if weight is None else weight,
            constant(np.zeros(shape[1])) if bias is None else bias,
            num_groups=num_groups,
            channel_axis=1,
            axes=list(range(2, len(shape))),
            epsilon=eps,
        )
    )


def _native_group_norm(emit, node, group, **arguments):
    return [_group_norm(emit, node, num_groups=group, **arguments), None, None]


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
                layout=f"NC{_SPATIAL[spatial]}",
                **options,
            )
        )
        result = result if batched else emit(op.squeeze(result, [0]))
        return [result, None] if with_indices else result

    return convert


def _resize(method: str) -> Callable:
    def convert(emit, node, input, scale_factors, align_corners=False, **_):
        before, after = shape_of(input)[2:], list(node.meta["val"].shape[2:])
        for size, new_size, factor in zip(before, after, scale_factors or (), strict=False):
            # torch samples at steps of 1 / factor, Relax at steps of size / new_size.
            if size * factor != new_size and not align_corners:
                raise NotImplementedError(
                    f"scale_factor {factor} does not turn {size} into a whole number: "
                    "pass size=..., or recompute_scale_factor=True"
                )
        nearest = {"coordinate_transformation_mode": "asymmetric", "rounding_method": "floor"}
        smooth = {
            "coordinate_transformation_mode": "align_corners" if align_corners else "half_pixel"
        }
        mode = nearest if method == "nearest_neighbor" else smooth
        return emit(op.image.resize2d(input, tuple(after), method=method, **mode))

    return convert


LAYERS: dict[str, Callable[..., Any]] = {
    "convolution.default": _convolution,
    "linear.default": _linear,
    "addmm.default": _addmm,
    "matmul.default": _matmul,
    "mm.default": _matmul,
    "bmm.default": _matmul,
    "_native_batch_norm_legit_no_training.default": _batch_norm,
    "layer_norm.default": _layer_norm,
    "native_layer_norm.default": _native_layer_norm,
    "group_norm.default": _group_norm,
    "native_group_norm.default": _native_group_norm,
    "max_pool2d_with_indices.default": _pool("max", 2, with_indices=True),
    "max_pool3d_with_indices.default": _pool("max", 3, with_indices=True),
    **{
        f"{kind}_pool{spatial}d.default": _pool(kind, spatial)
        for kind in ("avg", "max")
        for spatial in (1, 2, 3)
    },
    "upsample_nearest2d.vec": _resize("nearest_neighbor"),
    "upsample_bilinear2d.vec": _resize("linear"),
    "upsample_bicubic2d.vec": _resize("cubic"),
}
