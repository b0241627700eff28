"""Compute each quantized layer from the float model's values, and watch its operands."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from tvm import IRModule, relax
from tvm.ir import GenericConst

from ._find_layers import Layer, Reach
from ._graph import Graph, module_path, op_name, operands, to_numpy
from ._layer_error import Operand
from ._layer_walk import LayerWalk
from ._layers import LAYERS
from ._operand_watch import OperandWatch
from .calibrate._algorithms import algorithm_of
from .calibrate._modes import activation_vars, calibration_modes
from .corrections import layers_with_bias, on_steps, rounded_layers
from .recipe import Recipe

__all__ = ["FloatWalk"]


class FloatWalk(LayerWalk):
    """The walk of `layer_errors`: layers as a recipe quantizes them, and what their operands hold.

    Parameters
    ----------
    calibrated : IRModule
        As `Recipe.calibrated` returns it.
    recipe : Recipe

    Attributes
    ----------
    reach : Reach
    """

    def __init__(self, calibrated: IRModule, recipe: Recipe):
        super().__init__(calibrated)
        self.reach = Reach(self.graph, self.layers)
        self._recipe = recipe
        corrections, heavy = recipe.corrections, rounded_layers(self.graph)
        self._errors = {
            heavy[number]: torch.from_numpy(x) for number, x in corrections.errors.items()
        }
        self._with_bias = layers_with_bias(self.graph)
        self._constant = _constant_grids(self.graph, recipe)
        for number, steps in corrections.steps.items():
            weight = self.graph.bindings[heavy[number]].args[1]
            scale = to_numpy(self.graph.bindings[weight].args[1])
            self.weights[weight] = torch.from_numpy(on_steps(steps, scale))
        self._watches: dict[relax.Var, OperandWatch] = {}
        for layer in self.layers:
            for var in layer.roundings:
                if var not in self._watches:
                    self._watches[var] = self._watch(layer, var)

    def _watch(self, layer: Layer, var: relax.Var) -> OperandWatch:
        call, reader = self.graph.bindings[var], op_name(self.graph.bindings[layer.var])
        if str(call.attrs["kind"]) == "weight":
            axis = LAYERS[reader][0] if reader in LAYERS else 0
        else:
            axis = -1 if reader == "relax.matmul" or len(call.ty.shape) < 3 else 1
        return OperandWatch(call, axis)

    def round(self, var: relax.Var, values: Mapping[relax.Expr, torch.Tensor]) -> torch.Tensor:
        """Round, and look at what is rounded."""
        self._watches[var].update(values[self.graph.bindings[var].args[0]])
        return super().round(var, values)

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
        outputs: dict[relax.Expr, torch.Tensor] = {}
        for number, values in self.walk(batch, outputs):
            var = self.layers[number].var
            alone = self.evaluator.step(var, values) - self._errors.get(var, 0)
            look(number, values.maps[-1][var], alone)
        return [outputs[leaf] for leaf in operands(self.graph.output)]

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
        if x in self.numbers:
            return self.layers[self.numbers[x]].name
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
