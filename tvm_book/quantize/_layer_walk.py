"""Go through the float model, and stop at each quantized layer with its operands rounded."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from tvm import IRModule, relax
from tvm.ir import GenericConst

from ._evaluate import Evaluator
from ._find_layers import find_layers, is_move
from ._graph import Graph, op_name, operands, to_numpy
from .calibrate._grid import SIMULATED

__all__ = ["LayerWalk"]


class LayerWalk:
    """The layers of a calibrated model, and the way past them.

    Parameters
    ----------
    calibrated : IRModule
        Annotated, with grids.

    Attributes
    ----------
    graph : Graph
    layers : list of Layer
    numbers : dict from tvm.relax.Var to int
        Their places in the list.
    evaluator : Evaluator
        Of everything that the result needs.
    weights : dict from tvm.relax.Var to torch.Tensor
        Rounded constants that layers read.
    """

    def __init__(self, calibrated: IRModule):
        self.graph = Graph(calibrated["main"])
        self.layers = find_layers(self.graph)
        self.numbers = {layer.var: number for number, layer in enumerate(self.layers)}
        self.evaluator = Evaluator(self.graph, [self.graph.output], calibrated)
        self._read = {var for layer in self.layers for var in layer.roundings}
        self.weights = {
            var: self._round_constant(var)
            for var in self._read
            if isinstance(self.graph.bindings[var].args[0], GenericConst)
        }

    def _round_constant(self, var: relax.Var) -> torch.Tensor:
        args = self.graph.bindings[var].args
        constants = {x: torch.from_numpy(np.array(to_numpy(x))) for x in args}
        return self.evaluator.step(var, constants)

    def round(self, var: relax.Var, values: Mapping[relax.Expr, torch.Tensor]) -> torch.Tensor:
        """Round what a layer will read, a value of the float model."""
        return self.evaluator.step(var, values)

    def walk(
        self,
        batch: Mapping[str, np.ndarray],
        outputs: dict[relax.Expr, torch.Tensor] | None = None,
        keep: bool = False,
    ) -> Iterator[tuple[int, ChainMap]]:
        """Go through one batch.

        Parameters
        ----------
        batch : mapping from input name to numpy.ndarray
        outputs : dict, optional
            Takes the values that ``main`` returns.
        keep : bool
            Whether values stay after their last use.

        Yields
        ------
        (int, collections.ChainMap)
            Number of a layer; the values that it reads, rounded ones first, and its own result in
            float. The second of the maps is the float model alone.
        """
        exact = self.evaluator.start(batch)
        rounded: dict[relax.Expr, torch.Tensor] = dict(self.weights)
        values, returned = ChainMap(rounded, exact), set(operands(self.graph.output))
        if outputs is not None:
            outputs.update((leaf, exact[leaf]) for leaf in returned if leaf in exact)
        for var in self.evaluator.order:
            expr = self.graph.bindings[var]
            if op_name(expr) == SIMULATED:
                exact[var] = exact[expr.args[0]]
                if var in self._read and var not in self.weights:
                    rounded[var] = self.round(var, exact)
            else:
                exact[var] = self.evaluator.step(var, exact)
                if var in self.numbers:
                    yield self.numbers[var], values
                elif is_move(expr) and expr.args[0] in rounded:
                    rounded[var] = self.evaluator.step(var, values)
            if outputs is not None and var in returned:
                outputs[var] = exact[var]
            if not keep:
                self._forget(var, expr, rounded, exact)

    def _forget(self, var: relax.Var, expr: relax.Expr, rounded: dict, exact: dict) -> None:
        self.evaluator.forget(var, exact)
        for leaf in operands(expr):
            if leaf not in exact and leaf not in self.weights:
                rounded.pop(leaf, None)
