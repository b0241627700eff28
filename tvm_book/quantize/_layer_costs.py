"""What each layer alone costs: the output with it quantized, beside the one in float."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from ..testing.metric import sqnr_db
from ._alone import Alone
from ._dataset import batch_size, joined
from ._metric import Metric
from ._operations import operations
from ._sensitivity_result import LayerCost

__all__ = ["layer_costs"]


def layer_costs(
    alone: Alone, batches: Iterable[Mapping[str, np.ndarray]], metric: Metric
) -> tuple[list[LayerCost], int]:
    """Go through the data, and compare outputs.

    Parameters
    ----------
    alone : Alone
    batches : iterable of mappings from input name to numpy.ndarray
    metric : Metric
        Of the outputs of all batches, joined.

    Returns
    -------
    list of LayerCost
        In visiting order.
    int
        How many samples were looked at.
    """
    exact: list[np.ndarray] = []
    outputs: list[list[np.ndarray]] = [[] for _ in alone.layers]
    samples = 0
    for batch in batches:
        samples += batch_size(batch)
        reference, found = alone.outputs(batch)
        exact.append(reference)
        for number, output in found.items():
            outputs[number].append(output)
    counts = [operations(alone.graph.bindings[layer.var]) for layer in alone.layers]
    reference, costs = joined(exact), []
    for layer, count, parts in zip(alone.layers, counts, outputs, strict=True):
        output = joined(parts)
        ratio = sqnr_db(reference, output)
        ratio = -math.inf if math.isnan(ratio) else ratio  # what is no number is all noise
        costs.append(
            LayerCost(
                name=layer.name,
                selector=layer.selector,
                op=layer.op,
                path=layer.path,
                operations=count,
                share=count / max(sum(counts), 1),
                sqnr_db=ratio,
                value=ratio if metric.name == "sqnr_db" else metric(reference, output),
            )
        )
    return costs, samples
