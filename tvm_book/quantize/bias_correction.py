"""Bias correction: take the mean error that rounding makes out of each layer's bias.

Rounding shifts the mean of a layer's output by a constant for each output channel. It is measured
layer by layer on calibration data, with all that comes before already rounded and corrected, and
subtracted. After M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019, section 4.2, with measured means in place of those that batch norms imply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from tvm import IRModule, relax
from tvm.ir import GenericConst

from ._dataset import batch_size
from ._graph import Graph, op_name
from ._layers import LAYERS
from .calibrate._grid import SIMULATED
from .corrections import Correct, Corrections, is_rounded_layer, rounded_layers

__all__ = ["CorrectBias", "channel_means", "first_batches", "mean_errors"]

SAMPLES = 64  # a mean over images and positions needs no more
FEW, MANY = 16, 2**21  # nor more than so few samples, once they have so many elements


class CorrectBias(Correct):
    """The pass: add to each layer's result what makes up for its mean error.

    Parameters
    ----------
    mod : IRModule
        Annotated and calibrated.
    dataset : iterable of mappings from input name to array
        Calibration batches; the first ones are looked at.
    keep : callable (Corrections) -> None, optional
        Told what was measured.
    """

    def __init__(
        self,
        mod: IRModule,
        dataset: Iterable[Mapping[str, np.ndarray]],
        keep: Callable[[Corrections], None] | None = None,
    ):
        graph = Graph(mod["main"])
        errors = mean_errors(graph, dataset)
        numbers = {var: number for number, var in enumerate(rounded_layers(graph))}
        corrections = Corrections(errors={numbers[var]: x for var, x in errors.items()})
        if keep is not None:
            keep(corrections)
        super().__init__(mod, corrections)


def mean_errors(
    graph: Graph,
    dataset: Iterable[Mapping[str, np.ndarray]],
    visit_layer: Callable[[relax.Call, list[dict]], None] | None = None,
    correct: bool = True,
) -> dict[relax.Var, np.ndarray]:
    """Measure by how much rounding shifts the mean of each output channel of each layer.

    Parameters
    ----------
    graph : Graph
        Annotated and calibrated.
    dataset : iterable of mappings from input name to array
        Calibration batches, of which the first are looked at, as many as hold 64 samples, or 16
        large ones.
    visit_layer : callable (layer, values of each batch) -> None, optional
        Called before each layer with what the rounded model computed so far; may change its weight.
    correct : bool
        Whether layers are corrected on the way; if not, nothing is returned.

    Returns
    -------
    dict
        For the variable of each layer whose weight is rounded, an array of float64 that broadcasts
        to its result: the mean of the rounded model less that of the float model, where all layers
        before it are corrected already.
    """
    from ._evaluate import Evaluator

    evaluator = Evaluator(graph, [graph.output])
    pairs = [(evaluator.start(x), evaluator.start(x)) for x in first_batches(dataset)]
    errors: dict[relax.Var, np.ndarray] = {}
    for var in evaluator.order:
        expr = graph.bindings[var]
        is_layer = is_rounded_layer(graph, expr)
        if is_layer and visit_layer is not None:
            visit_layer(expr, [rounded for _, rounded in pairs])
        for exact, rounded in pairs:
            is_rounding = op_name(expr) == SIMULATED
            exact[var] = exact[expr.args[0]] if is_rounding else evaluator.step(var, exact)
            if is_rounding and isinstance(expr.args[0], GenericConst) and var in pairs[0][1]:
                rounded[var] = pairs[0][1][var]
            else:
                rounded[var] = evaluator.step(var, rounded)
        if is_layer and correct:
            error = channel_means(expr, [(r[var] - e[var]) for e, r in pairs])
            errors[var] = error.numpy()
            for _, rounded in pairs:
                rounded[var] = rounded[var] - error.to(rounded[var].dtype)
        for values in pairs:
            for value in values:
                evaluator.forget(var, value)
    return errors


def first_batches(dataset: Iterable[Mapping[str, np.ndarray]]) -> list[Mapping[str, np.ndarray]]:
    """Return batches that hold `SAMPLES` samples together, `FEW` large ones, or all there are."""
    batches, count, elements = [], 0, 0
    for batch in dataset:
        batches.append(batch)
        count += batch_size(batch)
        elements += sum(np.size(x) for x in batch.values())
        if count >= SAMPLES or (count >= FEW and elements >= MANY):
            break
    return batches


def channel_means(call: relax.Call, differences: list):
    """Mean over everything but the channels, in double precision, kept broadcastable."""
    rank = differences[0].ndim
    axis = LAYERS[op_name(call)][1] % rank
    others = [i for i in range(rank) if i != axis]
    sums = sum(x.double().sum(dim=others) for x in differences)
    count = sum(x.numel() // x.shape[axis] for x in differences)
    return (sums / count).reshape(-1, *(1,) * (rank - 1 - axis))
