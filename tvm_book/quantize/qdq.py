"""Models that bring their own grids: ``quantize``/``dequantize`` pairs become integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tvm
from tvm import IRModule, relax
from tvm.ir import GenericConst

from .._signature import bind_params
from . import ops
from ._graph import Graph, Rebuilder, op_name, to_numpy
from .annotate import INPUT, WEIGHT
from .config import QConfig
from .fold_constants import folded
from .prepare import SimplifyInference
from .prepare_affine import SplitToSlices
from .realize import Realize
from .schemes import scheme_for

__all__ = ["RecogniseGrids", "has_grids", "realize_grids", "recognise_passes"]

MOVES = ("relax.reshape", "relax.permute_dims", "relax.expand_dims", "relax.squeeze")
QUANTIZE, DEQUANTIZE = "relax.quantize", "relax.dequantize"


def has_grids(mod: IRModule) -> bool:
    """Whether ``main`` has a ``relax.dequantize``: the model was quantized before."""
    graph = Graph(mod["main"])
    return any(op_name(graph.bindings[var]) == DEQUANTIZE for var in graph.post_order())


def realize_grids(
    mod: IRModule, params: Mapping[str, Any] | None = None, config: QConfig | None = None
) -> IRModule:
    """Turn a module with ``quantize``/``dequantize`` pairs into integers, on the grids it brings.

    Parameters
    ----------
    mod : IRModule
        For example a quantized ONNX model from `tvm_book.frontend.from_onnx`. Never changed.
    params : mapping from name to array, optional
        Values of the parameters of ``main``.
    config : QConfig, optional
        Of the affine scheme; its ``requantize`` counts.

    Returns
    -------
    IRModule
    """
    config = config if config is not None and config.scheme == "affine" else _ACCURATE
    passes = [
        *recognise_passes(),
        Realize.as_pass(scheme_for(config), config),
        relax.transform.EliminateCommonSubexpr(),
        relax.transform.DeadCodeElimination(),
    ]
    return tvm.transform.Sequential(passes, name="RealizeGrids")(bind_params(mod, params))


def recognise_passes() -> list[tvm.transform.Pass]:
    """Return the passes from a model with its own grids to a calibrated one."""
    return [RecogniseGrids.as_pass(), SimplifyInference.as_pass(), SplitToSlices.as_pass()]


_ACCURATE = QConfig(preset="accurate")


class RecogniseGrids(Rebuilder):
    """``dequantize(quantize(x))`` and ``dequantize(constant)`` become ``simulated_quantize``."""

    def visit(self, var, expr):
        """Rewrite one binding."""
        name, found = op_name(expr), None
        if name == DEQUANTIZE:
            found = self._grid(expr)
        elif name in MOVES and isinstance(self[expr.args[0]], GenericConst):
            found = folded(expr, [self[expr.args[0]]])
        elif name == "relax.permute_dims":
            found = self._moved_weight(expr)
        return self.copy(expr) if found is None else found

    def _grid(self, call: relax.Call) -> relax.Expr | None:
        stored, *numbers = call.args
        if not all(isinstance(number, GenericConst) for number in numbers):
            return None
        scale, zero_point = map(to_numpy, numbers)
        if isinstance(self[stored], GenericConst):  # perhaps one that was rearranged
            return self._weight(to_numpy(self[stored]), scale, zero_point, int(call.attrs.axis))
        source = self.graph.value(stored)
        if op_name(source) != QUANTIZE or scale.size != 1 or not _same_grid(source, call):
            return None
        ends, zero_point = np.iinfo(str(stored.ty.dtype)), int(zero_point.reshape(()))
        if ends.bits != 8:
            return None
        limits = (ends.min - zero_point, ends.max - zero_point)
        return self._simulate(self[source.args[0]], scale.reshape(()), *limits, kind=INPUT)

    def _weight(self, stored: np.ndarray, scale, zero_point, axis: int) -> relax.Expr | None:
        """Weights are centred; others, and biases, become float constants."""
        axis %= max(stored.ndim, 1)
        shape = [-1 if i == axis else 1 for i in range(stored.ndim)]
        if scale.size > 1:
            scale, zero_point = (
                np.broadcast_to(x.reshape(-1), scale.shape).reshape(shape)
                for x in (scale, zero_point)
            )
        else:
            scale, zero_point = scale.reshape(()), zero_point.reshape(())
        steps = stored.astype(np.int64) - zero_point
        values = (steps * scale.astype(np.float64)).astype(np.float32)
        fits = (
            stored.dtype.itemsize == 1
            and steps.min(initial=0) >= -128
            and steps.max(initial=0) < 128
        )
        if not fits or stored.ndim < 2:
            return relax.const(values)
        return self._simulate(relax.const(values), scale, -128, 127, kind=WEIGHT, axis=axis)

    def _simulate(self, x, scale, low, high, **attrs) -> relax.Expr:
        numbers = [relax.const(np.asarray(n, np.float32)) for n in (scale, low, high)]
        return self.builder.emit(ops.simulated_quantize(x, *numbers, **attrs))

    def _moved_weight(self, call: relax.Call) -> relax.Expr | None:
        """Permute a weight before it is rounded: the grid goes along."""
        source = self.graph.value(call.args[0])
        if op_name(source) != DEQUANTIZE or not isinstance(source.args[0], GenericConst):
            return None
        stored, scale, zero_point = map(to_numpy, source.args)
        rank = stored.ndim
        axes = [int(i) % rank for i in call.attrs.axes or reversed(range(rank))]
        axis = axes.index(int(source.attrs.axis) % rank)
        return self._weight(stored.transpose(axes), scale, zero_point, axis)


def _same_grid(quantize: relax.Call, dequantize: relax.Call) -> bool:
    pairs = zip(quantize.args[1:], dequantize.args[1:], strict=True)
    return all(
        isinstance(a, GenericConst) and np.array_equal(to_numpy(a).ravel(), to_numpy(b).ravel())
        for a, b in pairs
    )
