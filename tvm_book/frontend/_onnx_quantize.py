"""Relax spellings of ONNX's quantized operators, under the conventions of `_onnx_layers`.

There is one regular form, ``R.quantize(x, scale, zero_point, axis, out_dtype)``, and the like for
``R.dequantize``. Scales and zero points are constants, 0-d unless there is one per channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper
from tvm import relax
from tvm.relax import op

from ._onnx_node import Node
from ._torch_layers import Emit, shape_of

_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32")


def _grid(node: Node, scale: int, zero: int, dtype: str) -> tuple[relax.Expr, relax.Expr]:
    """Return the scale and the zero point, which are the operands at these positions."""
    if node["block_size"]:
        raise NotImplementedError("scales per block: quantize per tensor or per channel")
    steps = node.known(scale, "scales")
    if steps.dtype != np.float32:
        raise NotImplementedError(f"scales of {steps.dtype}: quantize a float32 model")
    zeros = node.known(zero, "zero points") if node.has(zero) else np.zeros(steps.shape, dtype)
    if str(zeros.dtype) != dtype or dtype not in _INTEGERS:
        raise NotImplementedError(f"{dtype} values with a zero point of {zeros.dtype}")
    if steps.size == 1:
        steps, zeros = steps.reshape(()), zeros.reshape(())
    return relax.const(steps, "float32"), relax.const(zeros, dtype)


def _axis(node: Node, x: relax.Expr, scale: relax.Expr) -> int:
    # per tensor there is none, and Relax's own default stands for that
    return node["axis"] % len(shape_of(x)) if shape_of(scale) else -1


def _quantize(emit: Emit, node: Node, x, *_):
    dtype = "uint8"
    if node.has(2):
        dtype = str(node.known(2, "zero points").dtype)
    elif node["output_dtype"]:
        dtype = str(helper.tensor_dtype_to_np_dtype(node["output_dtype"]))
    scale, zero = _grid(node, 1, 2, dtype)
    return emit(op.quantize(x, scale, zero, axis=_axis(node, x, scale), out_dtype=dtype))


def _dequantize(emit: Emit, node: Node, x, *_):
    scale, zero = _grid(node, 1, 2, str(x.ty.dtype))
    return emit(op.dequantize(x, scale, zero, axis=_axis(node, x, scale), out_dtype="float32"))


ONNX_QUANTIZE: dict[str, Callable[..., Any]] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "com.microsoft.QuantizeLinear": _quantize,
    "com.microsoft.DequantizeLinear": _dequantize,
}


def integer_weights(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the integer tensors that stay integers, as parameters."""
    return {node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
