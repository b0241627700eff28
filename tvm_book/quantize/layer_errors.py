"""`layer_errors`: what rounding does to each layer, in one walk over the data.

A batch goes through the float model once. Each quantized layer is computed a second time, from the
same float values with its operands rounded: its isolated error. The integer model goes along, and
shows the accumulated one. The cost is three runs of the model, however many layers there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from tvm import IRModule

from .._signature import signature
from ._agreement import Agreement
from ._dataset import batch_size, batches_of
from ._evaluate import Evaluator
from ._float_walk import FloatWalk
from ._graph import operands
from ._layer_error import LayerError, LayerErrors
from ._observed import Observed
from ._operations import operations
from .recipe import Recipe

__all__ = ["layer_errors"]

LARGEST = 2.0**31


def layer_errors(
    mod: IRModule,
    qmod: IRModule | None = None,
    data: Iterable[Mapping[str, Any]] | None = None,
    params: Mapping[str, Any] | None = None,
    recipe: Recipe | None = None,
) -> LayerErrors:
    """Measure the error of every quantized layer, alone and in the whole.

    Parameters
    ----------
    mod : IRModule
        The float model that was quantized.
    qmod : IRModule
        What `quantize` or `Recipe.apply` made of it; it knows its `Recipe`.
    data : iterable of mappings from input name to array
        Gone through once; better not the data that calibrated.
    params : mapping from name to array, optional
        Values of the parameters of ``main``.
    recipe : Recipe, optional
        Instead of ``qmod``.

    Returns
    -------
    LayerErrors
        Accumulated errors are those of the integers that the quantized model computes.

    Raises
    ------
    TypeError, ValueError
        If ``qmod`` does not know its recipe, ``mod`` is not its float model, or the data do not
        fit.

    Examples
    --------
    >>> from tvm import relax
    >>> from tvm_book import quantize
    >>> x = relax.Var("x", relax.TensorType((1, 2), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     y = builder.emit(relax.op.matmul(x, relax.const(np.eye(2, dtype="float32"))))
    ...     _ = builder.emit_func_output(y)
    >>> config = quantize.QConfig(preset="accurate", calibrate_mode="minmax")
    >>> data = [{"x": np.array([[1, -2.55]], "float32")}]
    >>> qmod = quantize.quantize(builder.get(), dataset=data, config=config)
    >>> (layer,) = layer_errors(builder.get(), qmod, data).layers
    >>> layer.name, layer.isolated_sqnr_db > 40, [operand.used for operand in layer.operands]
    ('relax.matmul@0', True, [1.0, 0.5019607843137255])
    """
    if recipe is None:
        if qmod is None:
            raise ValueError("pass qmod=, what quantize made of the model, or its recipe=")
        recipe = Recipe.of(qmod)
    mod = recipe.bind(mod, params)
    if data is None:
        raise ValueError("pass data=[{name: array}, ...]: the batches to measure on")
    batches = batches_of(data, signature(mod)[0], "data")
    calibrated = recipe.calibrated(mod)
    walk = FloatWalk(calibrated, recipe)
    inside = _Inside(Observed(calibrated, recipe, [layer.var for layer in walk.layers]))
    isolated = [Agreement() for _ in walk.layers]
    accumulated = [Agreement() for _ in walk.layers]
    outputs = [Agreement() for _ in operands(walk.graph.output)]
    samples = 0
    for batch in batches:
        samples += batch_size(batch)
        integer = inside.run(batch)

        def look(number, exact, alone, integer=integer) -> None:
            isolated[number].update(exact, alone)
            accumulated[number].update(exact, walk.corrected(number, integer.layers[number]))
            inside.need(number, alone)

        exact = walk.run(batch, look)
        for agreement, x, y in zip(outputs, exact, integer.outputs, strict=True):
            agreement.update(x, y)
    layers = [
        LayerError(
            name=layer.name,
            selector=layer.selector,
            op=layer.op,
            path=layer.path,
            shape=tuple(int(extent) for extent in layer.var.ty.shape),
            isolated_sqnr_db=isolated[number].sqnr_db,
            isolated_cosine=isolated[number].cosine,
            accumulated_sqnr_db=accumulated[number].sqnr_db,
            accumulated_cosine=accumulated[number].cosine,
            operands=walk.operands(layer),
            accumulator=inside.largest[number] / LARGEST,
            reads=walk.reach.reads(layer),
            operations=operations(walk.graph.bindings[layer.var]),
        )
        for number, layer in enumerate(walk.layers)
    ]
    return LayerErrors(
        tuple(layers),
        _worst([agreement.sqnr_db for agreement in outputs], np.inf),
        _worst([agreement.cosine for agreement in outputs], 1.0),
        walk.reach.outputs,
        samples,
    )


def _worst(values: list[float], best: float) -> float:
    """Return the smallest number, NaN if one of them is: min() may lose it."""
    return float(np.min(values, initial=best))


class _Found(NamedTuple):
    outputs: list[torch.Tensor]
    layers: list[torch.Tensor]


class _Inside:
    """Runs the integer model and keeps what a batch shows.

    Attributes
    ----------
    largest : list of float
        For each layer, the largest magnitude of its int32 sums; NaN if it has none.
    """

    def __init__(self, observed: Observed):
        outputs, self._sums = list(operands(observed.output)), observed.sums
        self._counts = len(outputs), len(observed.layers)
        self._with_sums = [number for number, found in enumerate(self._sums) if found]
        wanted = [*outputs, *observed.layers, *(self._sums[n][0] for n in self._with_sums)]
        self._evaluator = Evaluator(observed.graph, wanted, observed.mod)
        self.largest = [0.0 if found else np.nan for found in self._sums]

    def run(self, batch: Mapping[str, np.ndarray]) -> _Found:
        first, last = self._counts[0], sum(self._counts)
        values: dict[int, torch.Tensor] = {}

        def watch(index: int, value: torch.Tensor) -> None:
            if index < last:
                values[index] = value
            else:
                self._note(self._with_sums[index - last], value.abs().max())

        self._evaluator.run(batch, watch)
        found = [values[index] for index in range(last)]
        return _Found(found[:first], found[first:])

    def need(self, number: int, alone: torch.Tensor) -> None:
        """Note the sums that a layer would need: those in int32 may have wrapped."""
        if self._sums[number]:
            scale = torch.from_numpy(np.asarray(self._sums[number][1], np.float64))
            self._note(number, (alone / scale).abs().max())

    def _note(self, number: int, largest: torch.Tensor) -> None:
        self.largest[number] = max(self.largest[number], float(largest))
