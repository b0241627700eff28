"""Quantize one layer at a time, and see what comes of it at the output."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from tvm import IRModule, relax

from ._find_layers import Layer
from ._graph import op_name, operands, to_numpy
from ._layer_walk import LayerWalk
from ._layers import channel_axis
from .bias_correction import channel_means
from .calibrate._grid import SIMULATED
from .compensate import compensate_layer, second_moments
from .config import QConfig
from .corrections import is_rounded_layer, on_steps

__all__ = ["Alone"]

Values = Mapping[relax.Expr, torch.Tensor]


class Alone(LayerWalk):
    """The layers of a calibrated model, each to be quantized with all others in float.

    Parameters
    ----------
    calibrated : IRModule
        Annotated, with grids. ``main`` returns one tensor.
    config : QConfig
    batches : sequence of mappings from input name to numpy.ndarray
        On which weights are compensated and biases corrected if ``config`` says so, for each layer
        as if it were the only one; none is, if there are no batches.
    """

    def __init__(
        self,
        calibrated: IRModule,
        config: QConfig,
        batches: Sequence[Mapping[str, np.ndarray]] = (),
    ):
        super().__init__(calibrated)
        self._compensated: dict[int, dict[relax.Var, torch.Tensor]] = {}
        self._errors: dict[int, torch.Tensor] = {}
        self._behind = [self._descendants(layer) for layer in self.layers]
        if batches and (config.weight_rounding == "compensated" or config.bias_correction):
            self._correct(batches, config)

    def _descendants(self, layer: Layer) -> list[relax.Var]:
        found = {layer.var}
        for var in self.evaluator.order[self.evaluator.order.index(layer.var) + 1 :]:
            if any(leaf in found for leaf in operands(self.graph.bindings[var])):
                found.add(var)
        return [var for var in self.evaluator.order if var in found][1:]

    def _correct(self, batches: Sequence[Mapping[str, np.ndarray]], config: QConfig) -> None:
        """Walk through all batches side by side, as means are over all of them."""
        for found in zip(*map(self.walk, batches), strict=True):
            number, values = found[0][0], [values for _, values in found]
            var = self.layers[number].var
            call = self.graph.bindings[var]
            if not is_rounded_layer(self.graph, call):
                continue
            x, weight = call.args
            if config.weight_rounding == "compensated":
                moments = second_moments(call, [value[x] for value in values])
                if moments is not None:
                    rounding = self.graph.bindings[weight]
                    steps = compensate_layer(rounding, channel_axis(call), moments)
                    new = torch.from_numpy(on_steps(steps, to_numpy(rounding.args[1])))
                    self._compensated[number] = {weight: new}
            if config.bias_correction:
                differences = [
                    self._result(number, value) - value.maps[-1][var] for value in values
                ]
                self._errors[number] = channel_means(call, differences)

    def _result(self, number: int, values: ChainMap) -> torch.Tensor:
        """Compute a layer from rounded operands."""
        own = self._compensated.get(number, {})
        result = self.evaluator.step(self.layers[number].var, ChainMap(own, *values.maps))
        return result - self._errors[number].to(result.dtype) if number in self._errors else result

    def outputs(
        self, batch: Mapping[str, np.ndarray], numbers: Sequence[int] | None = None
    ) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """Compute the output in float, and with each layer quantized alone.

        Parameters
        ----------
        batch : mapping from input name to numpy.ndarray
        numbers : sequence of int, optional
            Of the layers; by default all.

        Returns
        -------
        (numpy.ndarray, dict from int to numpy.ndarray)
        """
        wanted = set(range(len(self.layers)) if numbers is None else numbers)
        results: dict[int, torch.Tensor] = {}
        exact = self.evaluator.start(batch)
        for number, values in self.walk(batch, keep=True):
            exact = values.maps[-1]
            if number in wanted:
                results[number] = self._result(number, values)
        found = {number: self._propagate(number, results.pop(number), exact) for number in wanted}
        return exact[self.graph.output].numpy(), found

    def _propagate(self, number: int, result: torch.Tensor, exact: Values) -> np.ndarray:
        changed = {self.layers[number].var: result}
        values = ChainMap(changed, exact)
        for var in self._behind[number]:
            expr = self.graph.bindings[var]
            is_rounding = op_name(expr) == SIMULATED
            changed[var] = values[expr.args[0]] if is_rounding else self.evaluator.step(var, values)
        return values[self.graph.output].numpy()
