"""Go through the float model, and compute each quantized layer from its values once more."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping

import numpy as np
import torch
from tvm import IRModule, relax
from tvm.ir import GenericConst

from ._evaluate import Evaluator
from ._find_layers import Layer, Reach, find_layers, is_move
from ._graph import Graph, module_path, op_name, operands, to_numpy
from ._layer_error import Operand
from ._layers import LAYERS
from ._operand_watch import OperandWatch
from .calibrate._algorithms import algorithm_of
from .calibrate._grid import SIMULATED
from .calibrate._modes import activation_vars, calibration_modes
from .corrections import layers_with_bias, on_steps, rounded_layers
from .recipe import Recipe

__all__ = ["FloatWalk"]


class FloatWalk:
    """The layers of a calibrated model, and the way to see each with nothing else rounded.

    Parameters
    ----------
    calibrated : IRModule
        As `Recipe.calibrated` returns it.
    recipe : Recipe

    Attributes
    ----------
    graph : Graph
    layers : list of Layer
    reach : Reach
    evaluator : Evaluator
        Of everything that the result needs.
    """

    def __init__(self, calibrated: IRModule, recipe: Recipe):
        self.graph = Graph(calibrated["main"])
        self.layers = find_layers(self.graph)
        self.reach = Reach(self.graph, self.layers)
        self.evaluator = Evaluator(self.graph, [self.graph.output], calibrated)
        self._recipe = recipe
        self._numbers = {layer.var: number for number, layer in enumerate(self.layers)}
        corrections, heavy = recipe.corrections, rounded_layers(self.graph)
        self._errors = {
            heavy[number]: torch.from_numpy(x) for number, x in corrections.errors.items()
        }
        self._with_bias = layers_with_bias(self.graph)
        self._constant = _constant_grids(self.graph, recipe)
        steps = {self.graph.bindings[heavy[n]].args[1]: x for n, x in corrections.steps.items()}
        self._watches: dict[relax.Var, OperandWatch] = {}
        self._weights: dict[relax.Var, torch.Tensor] = {}
        for layer in self.layers:
            for var in layer.roundings:
                if var not in self._watches:
                    self._watch(layer, var, steps.get(var))

    def _watch(self, layer: Layer, var: relax.Var, steps: np.ndarray | None) -> None:
        call, reader = self.graph.bindings[var], op_name(self.graph.bindings[layer.var])
        if str(call.attrs["kind"]) == "weight":
            axis = LAYERS[reader][0] if reader in LAYERS else 0
        else:
            axis = -1 if reader == "relax.matmul" or len(call.ty.shape) < 3 else 1
        self._watches[var] = OperandWatch(call, axis)
        if isinstance(call.args[0], GenericConst):
            scale = to_numpy(call.args[1])
            if steps is None:
                constants = {arg: torch.from_numpy(np.array(to_numpy(arg))) for arg in call.args}
                self._weights[var] = self.evaluator.step(var, constants)
            else:
                self._weights[var] = torch.from_numpy(on_steps(steps, scale))

    def run(
        self,
        batch: Mapping[str, np.ndarray],
        look: Callable[[int, torch.Tensor, torch.Tensor], None],
    ) -> list[torch.Tensor]:
        """Go through one batch.

        Parameters
        ----------
        batch : mapping from input name to numpy.ndarray
        look : callable (number, exact, alone) -> None
            Called for each layer with its result in float, and with its operands rounded.

        Returns
        -------
        list of torch.Tensor
            What the float model returns, tuples opened.
        """
        exact = self.evaluator.start(batch)
        rounded: dict[relax.Expr, torch.Tensor] = dict(self._weights)
        returned = dict.fromkeys(operands(self.graph.output))
        returned.update((leaf, exact[leaf]) for leaf in returned if leaf in exact)
        for var in self.evaluator.order:
            expr = self.graph.bindings[var]
            if op_name(expr) == SIMULATED:
                exact[var] = exact[expr.args[0]]
                if var in self._watches and var not in self._weights:
                    self._watches[var].update(exact[var])
                    rounded[var] = self.evaluator.step(var, exact)
            else:
                exact[var] = self.evaluator.step(var, exact)
                if var in self._numbers:
                    alone = self.evaluator.step(var, ChainMap(rounded, exact))
                    look(self._numbers[var], exact[var], alone - self._errors.get(var, 0))
                elif is_move(expr) and expr.args[0] in rounded:
                    rounded[var] = self.evaluator.step(var, ChainMap(rounded, exact))
            if var in returned:
                returned[var] = exact[var]
            self.evaluator.forget(var, exact)
            for leaf in operands(expr):
                if leaf not in exact and leaf not in self._weights:
                    rounded.pop(leaf, None)
        return [returned[leaf] for leaf in operands(self.graph.output)]

    def corrected(self, number: int, value: torch.Tensor) -> torch.Tensor:
        """Take a layer's mean error out of a result to which it was not applied yet."""
        var = self.layers[number].var
        return (
            value - self._errors[var] if var in self._errors and var in self._with_bias else value
        )

    def operands(self, layer: Layer) -> tuple[Operand, ...]:
        """Return what was seen of the operands of a layer so far."""
        is_stored = self._recipe.config.scheme == "affine"
        return tuple(
            self._watches[var].result(self._source(var), is_stored, var not in self._constant)
            for var in layer.roundings
        )

    def _source(self, var: relax.Var) -> str:
        """Name what makes a rounded tensor: a layer, else an operator, an input or a constant."""
        x = self.graph.bindings[var].args[0]
        if isinstance(x, GenericConst):
            return "const"
        if x in self._numbers:
            return self.layers[self._numbers[x]].name
        if x in self.graph.bindings:
            return module_path(x) or op_name(self.graph.bindings[x]).removeprefix("relax.")
        return x.name


def _constant_grids(graph: Graph, recipe: Recipe) -> set[relax.Var]:
    """Activations whose grid no data decided; a model that brings its grids has none of them."""
    if not recipe.grids:
        return set()
    modes = calibration_modes(graph, recipe.config)
    pairs = zip(activation_vars(graph), modes, strict=True)
    return {var for var, mode in pairs if not algorithm_of(mode).passes}
