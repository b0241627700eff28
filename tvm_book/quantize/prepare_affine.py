"""The float form that the affine scheme starts from: one small rewrite a pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tvm
from tvm import relax
from tvm.ir import GenericConst

from ._graph import Rebuilder, module_path, op_name, to_numpy
from ._layers import LAYERS
from .config import QConfig
from .equalize import Equalize
from .fold_constants import FoldConstants
from .prepare import SimplifyInference

__all__ = ["FoldIntoLayers", "SplitToSlices", "affine_passes"]


def affine_passes(config: QConfig) -> list[tvm.transform.Pass]:
    """Return the passes before annotation, whatever the ``opt_level``."""
    passes = [
        SimplifyInference.as_pass(),
        SplitToSlices.as_pass(),
        FoldConstants.as_pass(),
        FoldIntoLayers.as_pass(),
    ]
    return passes + ([Equalize.as_pass()] if config.equalize else [])


class SplitToSlices(Rebuilder):
    """Each part of a ``split`` becomes a ``strided_slice``: no tuple is left in the graph."""

    def visit(self, var, expr):
        """Rewrite one binding."""
        if op_name(expr) == "relax.split":
            return None  # sliced where a part is read
        if not isinstance(expr, relax.TupleGetItem):
            return self.copy(expr)
        source = self.graph.value(expr.tuple_value)
        if op_name(source) != "relax.split":
            return self.copy(expr)
        axis = int(source.attrs.axis) % len(source.args[0].ty.shape)
        size = int(source.args[0].ty.shape[axis])
        width = [int(field.shape[axis]) for field in source.ty.fields]
        start = sum(width[: expr.index])
        stop = min(start + width[expr.index], size)
        x = self[source.args[0]]
        return self.builder.emit(relax.op.strided_slice(x, [axis], [start], [stop]))


class _Layer(NamedTuple):
    """A layer that is not emitted yet, because constants behind it may still be folded in."""

    call: relax.Call
    path: str
    weight: np.ndarray
    bias: np.ndarray | None


class FoldIntoLayers(Rebuilder):
    """Constants that scale or shift a layer's channels become part of its weight and bias.

    So batch norms vanish, behind layers with and without a bias. Folded in float64, after
    B. Jacob et al., CVPR 2018, section 3.2.
    """

    def __init__(self, mod):
        super().__init__(mod)
        self._uses = self.graph.use_counts()

    def __getitem__(self, leaf):
        """Return the value of an operand; a waiting layer is emitted now."""
        value = super().__getitem__(leaf)
        if isinstance(value, _Layer):
            value = self.values[leaf] = self._emit_layer(value)
        return value

    def visit(self, var, expr):
        """Rewrite one binding."""
        if op_name(expr) in LAYERS and isinstance(expr.args[1], GenericConst):
            weight = to_numpy(expr.args[1]).astype(np.float64)
            return _Layer(expr, module_path(var), weight, None)
        return self._fold(expr) or self.copy(expr)

    def _fold(self, expr: relax.Expr) -> _Layer | None:
        if op_name(expr) not in _FOLDS:
            return None
        left, right = expr.args
        first = isinstance(right, GenericConst)
        source, number = (left, right) if first else (right, left)
        layer = self.values.get(source) if isinstance(source, relax.Var) else None
        if not isinstance(layer, _Layer) or not isinstance(number, GenericConst):
            return None
        if self._uses[source] > 1:
            return None
        channels = _per_channel(to_numpy(number), layer.call)
        return None if channels is None else _FOLDS[op_name(expr)](layer, channels, first)

    def _emit_layer(self, layer: _Layer) -> relax.Expr:
        call, outer = layer.call, self.builder.path
        self.builder.path = layer.path
        weight = relax.const(layer.weight.astype(np.float32))
        result = self.emit(call, [self[call.args[0]], weight])
        if layer.bias is not None:
            bias = layer.bias.astype(np.float32).reshape(_result_shape(call))
            result = self.builder.emit(relax.op.add(result, relax.const(bias)))
        self.builder.path = outer
        return result


def _result_shape(call: relax.Call) -> tuple[int, ...]:
    axis = LAYERS[op_name(call)][1] % len(call.ty.shape)
    return (-1, *(1,) * (len(call.ty.shape) - 1 - axis))


def _per_channel(number: np.ndarray, call: relax.Call) -> np.ndarray | None:
    """Return one number for each output channel, None if the constant differs within one."""
    rank = len(call.ty.shape)
    axis = LAYERS[op_name(call)][1] % rank
    channels = int(call.ty.shape[axis])
    if number.ndim > rank:
        return None
    shape = (1,) * (rank - number.ndim) + number.shape
    if any(extent != 1 for i, extent in enumerate(shape) if i != axis):
        return None
    return np.broadcast_to(number.reshape(-1).astype(np.float64), (channels,))


def _scaled(layer: _Layer, factor: np.ndarray) -> _Layer:
    axis = LAYERS[op_name(layer.call)][0] % layer.weight.ndim
    groups = int(getattr(layer.call.attrs, "groups", 1))
    weight, bias = layer.weight, None if layer.bias is None else layer.bias * factor
    if op_name(layer.call).endswith("_transpose") and groups > 1:
        parts = zip(np.split(weight, groups), np.split(factor, groups), strict=True)
        shape = (1, -1, *(1,) * (weight.ndim - 2))
        return layer._replace(
            weight=np.concatenate([w * f.reshape(shape) for w, f in parts]), bias=bias
        )
    shape = [1] * weight.ndim
    shape[axis] = -1
    return layer._replace(weight=weight * factor.reshape(shape), bias=bias)


def _shifted(layer: _Layer, amount: np.ndarray) -> _Layer:
    return layer._replace(bias=amount if layer.bias is None else layer.bias + amount)


def _fold_subtract(layer, number, first):
    return (
        _shifted(layer, -number)
        if first
        else _shifted(_scaled(layer, -np.ones_like(number)), number)
    )


def _fold_divide(layer, number, first):
    return _scaled(layer, 1 / number) if first and np.all(number) else None


# operator: (layer, constant for each channel, whether the layer is the first operand) -> layer
_FOLDS = {
    "relax.add": lambda layer, number, first: _shifted(layer, number),
    "relax.subtract": _fold_subtract,
    "relax.multiply": lambda layer, number, first: _scaled(layer, number),
    "relax.divide": _fold_divide,
}
