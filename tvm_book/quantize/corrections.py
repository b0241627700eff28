"""What calibration changes besides grids: weights on other steps, and corrected biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from tvm import IRModule, relax
from tvm.ir import GenericConst

from ._graph import Graph, Rebuilder, op_name, to_numpy
from ._layers import LAYERS
from .calibrate._grid import SIMULATED

__all__ = [
    "Correct",
    "Corrections",
    "is_rounded_layer",
    "layers_with_bias",
    "on_steps",
    "rounded_layers",
]


@dataclass(frozen=True)
class Corrections:
    """Weights and biases that differ from the float model's.

    Both are known by the number of their layer among the `rounded_layers`.

    Attributes
    ----------
    steps : dict of int to numpy.ndarray
        Integers, of the weight's shape: the weight lies on these steps of its grid.
    errors : dict of int to numpy.ndarray of float64
        What is subtracted from the layer's result, to which it broadcasts.
    """

    steps: Mapping[int, np.ndarray] = field(default_factory=dict)
    errors: Mapping[int, np.ndarray] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.steps or self.errors)


class Correct(Rebuilder):
    """The pass: move weights to other steps, and subtract errors from the results of layers.

    Parameters
    ----------
    mod : IRModule
        Annotated and calibrated. Grids stay as they are.
    corrections : Corrections
    """

    def __init__(self, mod: IRModule, corrections: Corrections):
        super().__init__(mod)
        layers = rounded_layers(self.graph)
        self._errors = {layers[number]: x for number, x in corrections.errors.items()}
        self._weights = {
            self.graph.bindings[layers[number]].args[1]: x
            for number, x in corrections.steps.items()
        }
        self._with_bias = layers_with_bias(self.graph)
        self._pending: dict[relax.Expr, np.ndarray] = {}

    def visit(self, var, expr):
        """Replace a weight; add a correction to a bias, or behind a layer that has none."""
        if var in self._weights:
            new = on_steps(self._weights[var], to_numpy(expr.args[1]))
            return self.emit(expr, [relax.const(new), *expr.args[1:]])
        if var in self._errors:
            value = self.copy(expr)
            self._pending[var] = -self._errors[var]
            if var in self._with_bias:
                return value
            return self._add(value, self._pending.pop(var))
        layer = expr.args[0] if op_name(expr) == "relax.add" else None
        if layer is not None and layer in self._pending and isinstance(expr.args[1], GenericConst):
            bias = to_numpy(expr.args[1]) + self._pending.pop(layer)
            return self._add(self[layer], bias)
        return self.copy(expr)

    def _add(self, value: relax.Expr, amount: np.ndarray) -> relax.Expr:
        constant = relax.const(np.asarray(amount, np.float32))
        return self.builder.emit(relax.op.add(value, constant))


def on_steps(steps: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the float32 values of whole steps of a grid."""
    return np.asarray(steps.astype(np.float64) * scale, np.float32)


def layers_with_bias(graph: Graph) -> set[relax.Var]:
    """Variables whose only reader adds a constant to them."""
    uses, found = graph.use_counts(), set()
    for expr in graph.bindings.values():
        if op_name(expr) == "relax.add" and isinstance(expr.args[1], GenericConst):
            found.add(expr.args[0])
    return {var for var in found if uses[var] == 1}


def rounded_layers(graph: Graph) -> list[relax.Var]:
    """Layers whose constant weight is rounded, in visiting order."""
    return [var for var in graph.post_order() if is_rounded_layer(graph, graph.bindings[var])]


def is_rounded_layer(graph: Graph, expr: relax.Expr) -> bool:
    """Whether an expression is a layer whose constant weight is rounded."""
    if op_name(expr) not in LAYERS:
        return False
    weight = graph.value(expr.args[1])
    return op_name(weight) == SIMULATED and str(weight.attrs["kind"]) == "weight"
