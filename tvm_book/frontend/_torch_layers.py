"""Relax spellings of the layers with weights: convolution, linear, normalization.

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
SPATIAL = {1: "W", 2: "HW", 3: "DHW"}


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
    axes = SPATIAL[spatial]
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
    return result if bias is None else add_bias(emit, result, bias, axis=1)


def add_bias(emit: Emit, result: relax.Expr, bias: relax.Expr, axis: int) -> relax.Expr:
    """Add a vector along one axis, spelled as the own bias of a layer."""
    shape = [1] * len(shape_of(result))
    shape[axis] = shape_of(bias)[0]
    return emit(op.add(result, emit(op.reshape(bias, shape))))


def _linear(emit, node, input, weight, bias):
    result = emit(op.matmul(input, emit(op.permute_dims(weight))))
    return result if bias is None else add_bias(emit, result, bias, axis=-1)


def _addmm(emit, node, self, mat1, mat2, beta, alpha):
    # A program that was decomposed before has its linear layers in this form.
    result = emit(op.matmul(mat1, mat2))
    if alpha != 1:
        result = emit(op.multiply(result, constant(alpha)))
    if beta != 1:
        self = emit(op.multiply(self, constant(beta)))
    if len(shape_of(self)) == 1:
        return add_bias(emit, result, self, axis=-1)
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
}
