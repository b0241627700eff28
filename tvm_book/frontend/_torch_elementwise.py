"""Relax spellings of elementwise and shape operators, under the conventions of `_torch_layers`.

Listed are the ones that TVM's importer gets wrong for some arguments: mixed dtypes, ``alpha``,
negative indices, out-of-range table rows. Everything else is left to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import tvm
from torch import fx
from tvm import relax
from tvm.relax import op

from ._torch_layers import Emit, constant, shape_of


def dtype_name(dtype: torch.dtype) -> str:
    """Return "float32" for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


# Arithmetic on truth values, which Relax has only for numbers.
_LOGICAL = {op.add: op.logical_or, op.multiply: op.logical_and}


def _operand(emit: Emit, value: Any, dtype: str) -> relax.Expr:
    if not isinstance(value, relax.Expr):
        return constant(value, dtype)
    if str(value.ty.dtype) == dtype:
        return value
    if isinstance(value, tvm.ir.GenericConst):
        return constant(value.value.numpy(), dtype)
    return emit(op.astype(value, dtype))


def _binary(operator: Callable, compares: bool = False) -> Callable:
    def convert(emit, node, self, other, alpha=1):
        values = [a.meta["val"] if isinstance(a, fx.Node) else a for a in node.args[:2]]
        dtype = dtype_name(torch.result_type(*values) if compares else node.meta["val"].dtype)
        left, right = _operand(emit, self, dtype), _operand(emit, other, dtype)
        if dtype == "bool" and operator in _LOGICAL:
            return emit(_LOGICAL[operator](left, right))
        if alpha != 1:
            right = emit(op.multiply(right, constant(alpha, dtype)))
        return emit(operator(left, right))

    return convert


def _division(emit, node, self, other, rounding_mode=None):
    divide = {None: op.divide, "floor": op.floor_divide}.get(rounding_mode)
    if divide is None:
        raise NotImplementedError(f"rounding_mode={rounding_mode!r}: use 'floor' or torch.trunc")
    return _binary(divide)(emit, node, self, other)


def _clamp(emit, node, self, min, max):
    dtype = node.meta["val"].dtype
    low, high = (-math.inf if min is None else min), (math.inf if max is None else max)
    if dtype.is_floating_point:
        return emit(op.clip(self, float(low), float(high)))
    limits = torch.iinfo(dtype)  # no integer is infinite
    low, high = (limits.min if min is None else min), (limits.max if max is None else max)
    return emit(op.clip(self, low, high))


def _hardsigmoid(emit, node, self):
    clipped = emit(op.clip(emit(op.add(self, constant(3))), 0.0, 6.0))
    return emit(op.multiply(clipped, constant(1 / 6)))


def _hardswish(emit, node, self):
    return emit(op.multiply(self, _hardsigmoid(emit, node, self)))


def _hardtanh(emit, node, self, min_val, max_val):
    return _clamp(emit, node, self, min_val, max_val)


def _elu(emit, node, self, alpha, scale, input_scale):
    scaled = self if input_scale == 1 else emit(op.multiply(self, constant(input_scale)))
    negative = op.subtract(op.exp(op.minimum(scaled, constant(0))), constant(1))
    result = emit(op.add(op.nn.relu(self), op.multiply(constant(alpha), negative)))
    return result if scale == 1 else emit(op.multiply(constant(scale), result))


def _extremum(operator: Callable) -> Callable:
    def convert(emit, node, self, dim, keepdim):
        return emit(operator(self, list(dim) or None, keepdims=keepdim))

    return convert


def _variance(emit, node, self, dim, correction, keepdim):
    axes = [axis % len(shape_of(self)) for axis in dim or range(len(shape_of(self)))]
    count = math.prod(shape_of(self)[axis] for axis in axes)
    correction = 1 if correction is None else correction
    if count <= correction:
        raise NotImplementedError(f"the variance of {count} values with correction {correction}")
    result = emit(op.variance(self, axes, keepdims=keepdim))
    factor = count / (count - correction)
    return result if factor == 1 else emit(op.multiply(result, constant(factor)))


def _variance_and_mean(emit, node, self, dim, correction, keepdim):
    variance = _variance(emit, node, self, dim, correction, keepdim)
    return [variance, emit(op.mean(self, list(dim) if dim else None, keepdims=keepdim))]


def _rows(emit: Emit, data: relax.Expr, axis: int, index: relax.Expr) -> relax.Expr:
    # The default mode of take reads foreign memory when an index is out of range.
    return emit(op.take(data, index, axis=axis, mode="clip"))


def _embedding(emit, node, weight, indices, **_):
    return _rows(emit, weight, 0, indices)


def _index_select(emit, node, self, dim, index):
    return _rows(emit, self, dim, index)


def _index(emit, node, self, indices):
    sizes = shape_of(self)
    given = {axis: index for axis, index in enumerate(indices) if index is not None}
    wrapped = []
    for axis, index in given.items():
        size = constant(sizes[axis], str(index.ty.dtype))
        negative = emit(op.less(index, constant(0, str(index.ty.dtype))))
        wrapped.append(emit(op.where(negative, emit(op.add(index, size)), index)))
    if len(given) == 1:
        return _rows(emit, self, *given, *wrapped)
    # Relax indexes the leading axes; torch puts the result where indices stand side by side.
    axes = list(given)
    others = [axis for axis in range(len(sizes)) if axis not in given]
    leading = emit(op.permute_dims(self, axes + others))
    result = emit(op.index_tensor(leading, wrapped))
    rank = len(shape_of(result))
    indexed = rank - len(others)
    first = axes[0] if axes[-1] - axes[0] == len(axes) - 1 else 0
    moved = [*range(indexed, indexed + first), *range(indexed), *range(indexed + first, rank)]
    return emit(op.permute_dims(result, moved))


def _identity(emit, node, self, **_):
    return _operand(emit, self, dtype_name(node.meta["val"].dtype))


def _view(emit, node, self, **_):
    # Even one that changes nothing stays: to the quantizer it is a boundary.
    return emit(op.reshape(self, list(node.meta["val"].shape)))


def _expand(emit, node, self, **_):
    shape = list(node.meta["val"].shape)
    return self if shape == shape_of(self) else emit(op.broadcast_to(self, shape))


def _squeeze(emit, node, self, dim):
    sizes = shape_of(self)
    axes = [axis % len(sizes) for axis in dim]
    return emit(op.squeeze(self, [axis for axis in axes if sizes[axis] == 1]))


def _select(emit, node, self, dim, index):
    sizes = shape_of(self)
    dim %= len(sizes)
    index %= sizes[dim]
    return emit(op.squeeze(emit(op.strided_slice(self, [dim], [index], [index + 1])), [dim]))


_COMPARISONS = {
    "eq": op.equal,
    "ne": op.not_equal,
    "lt": op.less,
    "le": op.less_equal,
    "gt": op.greater,
    "ge": op.greater_equal,
}

ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add.Tensor": _binary(op.add),
    "add.Scalar": _binary(op.add),
    "sub.Tensor": _binary(op.subtract),
    "mul.Tensor": _binary(op.multiply),
    "mul.Scalar": _binary(op.multiply),
    **{
        f"{name}.{kind}": _binary(function, compares=True)
        for name, function in _COMPARISONS.items()
        for kind in ("Tensor", "Scalar")
    },
    "maximum.default": _binary(op.maximum),
    "minimum.default": _binary(op.minimum),
    "div.Tensor": _division,
    "div.Tensor_mode": _division,
    "hardsigmoid.default": _hardsigmoid,
    "hardswish.default": _hardswish,
    "hardtanh.default": _hardtanh,
    "clamp.default": _clamp,
    "elu.default": _elu,
    "amax.default": _extremum(op.max),
    "amin.default": _extremum(op.min),
    "var.correction": _variance,
    "var_mean.correction": _variance_and_mean,
    "embedding.default": _embedding,
    "index_select.default": _index_select,
    "index.Tensor": _index,
    "alias.default": _identity,
    "clone.default": _identity,
    "_to_copy.default": _identity,
    "view.default": _view,
    "expand.default": _expand,
    "squeeze.dims": _squeeze,
    "select.int": _select,
}
