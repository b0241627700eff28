"""Relax spellings of ONNX's layers with weights: convolution, linear, normalization.

A converter gets ``emit``, the node, and its operands, None for those that are left out. The
spelling is that of `_torch_layers`, which the quantizer relies on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tvm import relax
from tvm.relax import op

from ._onnx_node import Node, Operand
from ._torch_layers import LAYERS, Emit, add_bias, constant, shape_of


def same_padding(mode: str, totals: list[int]) -> list[int]:
    """Split the padding of each axis, the odd one at the end if `mode` is SAME_UPPER."""
    small = [max(total, 0) // 2 for total in totals]
    large = [max(total, 0) - half for total, half in zip(totals, small, strict=True)]
    return small + large if mode == "SAME_UPPER" else large + small


def window(node: Node, sizes: list[int], kernel: list[int]) -> tuple[list[int], ...]:
    """Return strides, dilations and padding (all begins, then all ends) of a sliding window."""
    strides = list(node["strides"] or [1] * len(kernel))
    dilations = list(node["dilations"] or [1] * len(kernel))
    padding = list(node["pads"] or [0] * 2 * len(kernel))
    if node["auto_pad"] in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            (math.ceil(size / stride) - 1) * stride + (extent - 1) * dilation + 1 - size
            for size, extent, stride, dilation in zip(
                sizes, kernel, strides, dilations, strict=True
            )
        ]
        padding = same_padding(node["auto_pad"], totals)
    elif node["auto_pad"] == "VALID":
        padding = [0] * 2 * len(kernel)
    return strides, dilations, padding


def _conv(emit: Emit, node: Node, x, weight, bias=None):
    kernel = shape_of(weight)[2:]
    strides, dilations, padding = window(node, shape_of(x)[2:], kernel)
    return _convolve(emit, node, x, weight, bias, strides, padding, dilations)


def _convolve(emit, node, x, weight, bias, strides, padding, dilations, transposed=False, extra=()):
    return LAYERS["convolution.default"](
        *(emit, node, x, weight, bias, strides, padding, dilations, transposed, extra),
        groups=node["group"],
    )


def _conv_transpose(emit: Emit, node: Node, x, weight, bias=None):
    kernel, sizes = shape_of(weight)[2:], shape_of(x)[2:]
    ones = [1] * len(kernel)
    strides, dilations = list(node["strides"] or ones), list(node["dilations"] or ones)
    extra = list(node["output_padding"] or [0] * len(kernel))
    padding = list(node["pads"] or [0] * 2 * len(kernel))
    mode = node["auto_pad"]
    if mode == "VALID":
        padding = [0] * 2 * len(kernel)
    if node["output_shape"] or mode.startswith("SAME"):
        wanted = node["output_shape"] or [
            size * stride for size, stride in zip(sizes, strides, strict=True)
        ]
        totals = [
            stride * (size - 1) + more + (extent - 1) * dilation + 1 - result
            for size, stride, dilation, extent, more, result in zip(
                *(sizes, strides, dilations, kernel, extra, wanted), strict=True
            )
        ]
        padding = same_padding("SAME_UPPER" if mode == "SAME_UPPER" else "SAME_LOWER", totals)
        extra = [more - min(total, 0) for more, total in zip(extra, totals, strict=True)]
    return _convolve(emit, node, x, weight, bias, strides, padding, dilations, True, extra)


def _gemm(emit: Emit, node: Node, a, b, c=None):
    a = emit(op.permute_dims(a)) if node["transA"] else a
    b = emit(op.permute_dims(b)) if node["transB"] else b
    result = emit(op.matmul(a, b))
    if node["alpha"] != 1:
        result = emit(op.multiply(result, constant(node["alpha"])))
    if c is None:
        return result
    if node["beta"] != 1:
        c = emit(op.multiply(c, constant(node["beta"])))
    if shape_of(c) == shape_of(result)[1:]:
        return add_bias(emit, result, c, axis=-1)
    return emit(op.add(result, c))


def _matmul(emit: Emit, node: Node, a, b):
    return emit(op.matmul(a, b))


def _add(emit: Emit, node: Node, a, b):
    """Add; a vector of the model after the product with a matrix of the model is a bias."""
    for product, bias in (node.operands, node.operands[::-1]):
        size = shape_of(product.expr)[-1:]
        if _is_linear(product) and bias.is_weight and shape_of(bias.expr) == size:
            return add_bias(emit, product.expr, bias.expr, axis=-1)
    return emit(op.add(a, b))


def _is_linear(value: Operand) -> bool:
    source = value.source
    return source is not None and source.kind == "MatMul" and source.operands[1].is_stored


def _batch_norm(emit: Emit, node: Node, x, scale, bias, mean, variance):
    if node["training_mode"]:
        raise NotImplementedError("training_mode=1: export the model in eval mode")
    normalize = LAYERS["_native_batch_norm_legit_no_training.default"]
    return normalize(emit, node, x, scale, bias, mean, variance, None, node["epsilon"])[:1]


def _layer_norm(emit: Emit, node: Node, x, scale, bias=None):
    sizes = shape_of(x)[node["axis"] :]
    if shape_of(scale) != sizes or bias is not None and shape_of(bias) != sizes:
        raise NotImplementedError(f"scale and bias must have the shape {sizes} of what they scale")
    return [LAYERS["layer_norm.default"](emit, node, x, sizes, scale, bias, node["epsilon"])]


def _instance_norm(emit: Emit, node: Node, x, scale, bias):
    axes = list(range(2, len(shape_of(x))))
    return emit(
        op.nn.instance_norm(x, scale, bias, channel_axis=1, axes=axes, epsilon=node["epsilon"])
    )


def _group_norm(emit: Emit, node: Node, x, scale, bias):
    groups, repeats = node["num_groups"], shape_of(x)[1] // node["num_groups"]
    if shape_of(scale) == [groups] and node.opset < 21:  # older ones scale whole groups
        scale, bias = (emit(op.repeat(value, repeats, axis=0)) for value in (scale, bias))
    return LAYERS["group_norm.default"](emit, node, x, groups, scale, bias, node["epsilon"])


ONNX_LAYERS: dict[str, Callable[..., relax.Expr | list[Any]]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _add,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
}
