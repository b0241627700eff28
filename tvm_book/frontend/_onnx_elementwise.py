"""Relax spellings of ONNX's elementwise operators and reductions.

Under the conventions of `_onnx_layers`. Listed are those that TVM's importer spells differently
from PyTorch's, or gets wrong; the others are left to it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from onnx import helper
from tvm import relax
from tvm.relax import op

from ._onnx_node import Node
from ._torch_layers import Emit, constant, shape_of


def _dtype(value: relax.Expr) -> str:
    return str(value.ty.dtype)


def _clip(emit: Emit, node: Node, x, low=None, high=None):
    dtype = _dtype(x)
    if all(not node.has(i) or node.operands[i].array is not None for i in (1, 2)):
        floating = dtype.startswith("float")
        limits = np.finfo(dtype) if floating else np.iinfo(dtype)
        bounds = (-math.inf, math.inf) if floating else (int(limits.min), int(limits.max))
        least, most = (
            node.known(i, "limits").item() if node.has(i) else bound
            for i, bound in zip((1, 2), bounds, strict=True)
        )
        return emit(op.clip(x, least, most))
    x = x if low is None else emit(op.maximum(x, low))
    return x if high is None else emit(op.minimum(x, high))


def _hard_sigmoid(emit: Emit, node: Node, x):
    alpha, beta = node["alpha"], node["beta"]
    if alpha <= 0:
        line = emit(op.add(emit(op.multiply(x, constant(alpha))), constant(beta)))
        return emit(op.clip(line, 0.0, 1.0))
    # as torch has it: for alpha = 1/6 and beta = 1/2, (x + 3) is cut at 0 and 6
    shifted = emit(op.add(x, constant(beta / alpha)))
    cut = emit(op.clip(shifted, 0.0, float(np.float32(1 / alpha))))
    return emit(op.multiply(cut, constant(alpha)))


def _hard_swish(emit: Emit, node: Node, x):
    cut = emit(op.clip(emit(op.add(x, constant(3))), 0.0, 6.0))
    return emit(op.multiply(x, emit(op.multiply(cut, constant(1 / 6)))))


def _elu(emit: Emit, node: Node, x):
    negative = op.subtract(op.exp(op.minimum(x, constant(0))), constant(1))
    return emit(op.add(op.nn.relu(x), op.multiply(constant(node["alpha"]), negative)))


def _prelu(emit: Emit, node: Node, x, slope):
    negative = emit(op.multiply(x, slope))
    return emit(op.where(emit(op.less(x, constant(0, _dtype(x)))), negative, x))


def _softplus(emit: Emit, node: Node, x):
    # log(1 + exp(x)), which is x where the exponential would be too large
    soft = op.log(op.add(op.exp(x), constant(1)))
    return emit(op.where(emit(op.greater(x, constant(20))), x, soft))


def _equal(emit: Emit, node: Node, a, b):
    if _dtype(a) == "bool":  # TVM makes no code for the comparison of those
        return emit(op.logical_not(emit(op.logical_xor(a, b))))
    return emit(op.equal(a, b))


def _divide(emit: Emit, node: Node, a, b):
    if "int" not in _dtype(a):
        return emit(op.divide(a, b))
    if _dtype(a).startswith("uint"):
        return emit(op.floor_divide(a, b))
    # towards zero: the quotient of the sizes, with the sign of the exact one
    size = emit(op.floor_divide(emit(op.abs(a)), emit(op.abs(b))))
    return emit(op.multiply(size, emit(op.multiply(emit(op.sign(a)), emit(op.sign(b))))))


def _power(emit: Emit, node: Node, a, b):
    if "int" in _dtype(a):
        raise NotImplementedError("the power of an integer: cast it to float32 first")
    if _dtype(a) != _dtype(b):
        operand = node.operands[1]
        known = operand.is_known
        b = constant(operand.array, _dtype(a)) if known else emit(op.astype(b, _dtype(a)))
    return emit(op.power(a, b))


def _chain(operator: Callable) -> Callable:
    def convert(emit: Emit, node: Node, first, *others):
        return functools.reduce(lambda a, b: emit(operator(a, b)), others, first)

    return convert


def _mean(emit: Emit, node: Node, *parts):
    total = _chain(op.add)(emit, node, *parts)
    return total if len(parts) == 1 else emit(op.divide(total, constant(len(parts))))


def _cast(emit: Emit, node: Node, x):
    dtype = str(helper.tensor_dtype_to_np_dtype(node["to"]))
    if dtype == _dtype(x):
        return x
    if dtype == "bool":
        return emit(op.not_equal(x, constant(0, _dtype(x))))
    return emit(op.astype(x, dtype))


def _cast_like(emit: Emit, node: Node, x, other):
    return x if _dtype(x) == _dtype(other) else emit(op.astype(x, _dtype(other)))


def _reduce(operator: Callable) -> Callable:
    def convert(emit: Emit, node: Node, x, _=None):
        axes = node.axes(1) or []
        if not axes and node["noop_with_empty_axes"]:
            return x
        if _dtype(x) == "bool":
            raise NotImplementedError("truth values have no extremes: cast them to int32 first")
        rank = len(shape_of(x))
        axes = sorted(axis % rank for axis in axes) or None
        return emit(operator(x, axes, keepdims=bool(node["keepdims"])))

    return convert


def _cumulative_sum(emit: Emit, node: Node, x, _):
    axis = int(node.known(1, "axis").item()) % len(shape_of(x))
    data = emit(op.flip(x, axis)) if node["reverse"] else x
    total = emit(op.cumsum(data, axis))
    if node["exclusive"]:
        total = emit(op.subtract(total, data))
    return emit(op.flip(total, axis)) if node["reverse"] else total


def _einsum(emit: Emit, node: Node, *operands):
    return emit(op.einsum(operands, node["equation"].replace(" ", "")))


ONNX_ELEMENTWISE: dict[str, Callable] = {
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Elu": _elu,
    "PRelu": _prelu,
    "Softplus": _softplus,
    "Equal": _equal,
    "Div": _divide,
    "Pow": _power,
    "Min": _chain(op.minimum),
    "Max": _chain(op.maximum),
    "Sum": _chain(op.add),
    "Mean": _mean,
    "Cast": _cast,
    "CastLike": _cast_like,
    "CumSum": _cumulative_sum,
    "Einsum": _einsum,
    "ReduceMean": _reduce(op.mean),
    "ReduceSum": _reduce(op.sum),
    "ReduceMax": _reduce(op.max),
    "ReduceMin": _reduce(op.min),
    "ReduceProd": _reduce(op.prod),
}
