"""Cross-layer equalization: even out the ranges of the channels between two layers.

ReLU commutes with a positive factor, so channel ``c`` between two layers may be divided by ``s_c``
where it is made and multiplied where it is read. With ``s_c = sqrt(r1_c / r2_c)``, of the largest
magnitudes of what makes and what reads it, both become ``sqrt(r1_c * r2_c)``: no channel is left
with a small share of a grid that all channels use together.
After M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
ICCV 2019, section 4.1. A clip such as ReLU6 does not commute; such pairs stay as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from tvm import IRModule, relax
from tvm.ir import GenericConst

from ._graph import Graph, Rebuilder, op_name, to_numpy

__all__ = ["Equalize"]

SWEEPS = (
    10  # a layer in the middle of a chain takes part in two pairs, which then disturb each other
)
HOMOGENEOUS = ("relax.nn.relu", "relax.nn.leakyrelu", "relax.nn.max_pool2d", "relax.nn.avg_pool2d")
CONVOLUTIONS = ("relax.nn.conv1d", "relax.nn.conv2d")


class _Pair(NamedTuple):
    """Two layers, by their variables, and the bias between them, if there is one."""

    first: relax.Var
    bias: relax.Var | None
    second: relax.Var


class Equalize(Rebuilder):
    """The pass; the function that ``main`` computes stays the same, up to float rounding."""

    def __init__(self, mod: IRModule):
        super().__init__(mod)
        self._constants = _equalized(self.graph, _pairs(self.graph))

    def visit(self, var, expr):
        """Replace the weight of a layer, or the constant of a bias."""
        if var not in self._constants:
            return self.copy(expr)
        constant = relax.const(self._constants[var].astype(np.float32))
        return self.emit(expr, [self[expr.args[0]], constant])


def _pairs(graph: Graph) -> list[_Pair]:
    uses, pairs = graph.use_counts(), []
    for second in graph.post_order():
        if not _is_layer(graph, second) or not _reads_channels(graph.bindings[second]):
            continue
        var, bias = graph.bindings[second].args[0], None
        while isinstance(var, relax.Var) and uses[var] == 1 and var in graph.bindings:
            expr = graph.bindings[var]
            if _is_layer(graph, var):
                pairs.append(_Pair(var, bias, second))
                break
            if op_name(expr) == "relax.add" and bias is None and _is_channel_bias(expr):
                bias = var
            elif op_name(expr) not in HOMOGENEOUS or bias is not None:
                break
            var = expr.args[0]
    return pairs


def _is_layer(graph: Graph, var: relax.Var) -> bool:
    expr = graph.bindings[var]
    return (
        op_name(expr) in CONVOLUTIONS
        and isinstance(expr.args[1], GenericConst)
        and (expr.attrs.data_layout[:2], expr.attrs.kernel_layout[:2]) == ("NC", "OI")
    )


def _reads_channels(call: relax.Call) -> bool:
    """Whether each input channel has weights of its own: ungrouped, or depthwise."""
    return int(call.attrs.groups) == 1 or int(call.args[1].ty.shape[1]) == 1


def _is_channel_bias(call: relax.Call) -> bool:
    if not isinstance(call.args[1], GenericConst):
        return False
    shape = [int(extent) for extent in call.args[1].ty.shape]
    rank, channels = len(call.ty.shape), int(call.ty.shape[1])
    aligned = [1] * (rank - len(shape)) + shape
    return aligned in ([1, channels, *[1] * (rank - 2)], [1] * rank)


def _equalized(graph: Graph, pairs: list[_Pair]) -> dict[relax.Var, np.ndarray]:
    """Return the constants that change, by the variable whose operator reads them."""
    new: dict[relax.Var, np.ndarray] = {}
    for pair in pairs:
        for var in (pair.first, pair.second):
            new[var] = to_numpy(graph.bindings[var].args[1]).astype(np.float64)
        if pair.bias is not None:
            call, rank = graph.bindings[pair.bias], len(pair.bias.ty.shape)
            channels = int(call.ty.shape[1])
            amount = np.broadcast_to(to_numpy(call.args[1]).reshape(-1), (channels,))
            new[pair.bias] = amount.reshape(-1, *(1,) * (rank - 2)).astype(np.float64)
    for _ in range(SWEEPS):
        for pair in pairs:
            factor = _factor(graph, pair, new)
            new[pair.first] = new[pair.first] / _column(factor, new[pair.first].ndim)
            if pair.bias is not None:
                new[pair.bias] = new[pair.bias] / factor.reshape(new[pair.bias].shape)
            new[pair.second] = new[pair.second] * _input_shape(graph, pair.second, factor)
    return new


def _factor(graph: Graph, pair: _Pair, new: dict[relax.Var, np.ndarray]) -> np.ndarray:
    made = np.abs(new[pair.first]).reshape(len(new[pair.first]), -1).max(axis=1)
    weight = np.abs(new[pair.second])
    if int(graph.bindings[pair.second].attrs.groups) == 1:
        read = np.moveaxis(weight, 1, 0).reshape(weight.shape[1], -1).max(axis=1)
    else:
        read = weight.reshape(len(made), -1).max(axis=1)  # depthwise: rows of one input channel
    both = (made > 0) & (read > 0)
    return np.sqrt(np.divide(made, read, out=np.ones_like(made), where=both))


def _column(factor: np.ndarray, rank: int) -> np.ndarray:
    return factor.reshape(-1, *(1,) * (rank - 1))


def _input_shape(graph: Graph, var: relax.Var, factor: np.ndarray) -> np.ndarray:
    """Lay one number an input channel along the axis of the weight that it belongs to."""
    call = graph.bindings[var]
    rank, rows = len(call.args[1].ty.shape), int(call.args[1].ty.shape[0])
    if int(call.attrs.groups) == 1:
        return factor.reshape(1, -1, *(1,) * (rank - 2))
    return _column(np.repeat(factor, rows // len(factor)), rank)
