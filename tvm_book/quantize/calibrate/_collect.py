"""Run the float model over the calibration data and show its tensors to the statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from tvm import IRModule, relax

from ..._signature import signature
from .._dataset import Batches, check_dataset
from .._evaluate import Evaluator
from .._graph import Graph
from ..config import QConfig
from ._algorithms import algorithm_of
from ._modes import activation_vars, calibration_modes
from ._progress import track
from ._statistics import Statistics

__all__ = ["collect", "observe_pass"]


def collect(
    mod: IRModule,
    config: QConfig,
    dataset: Iterable[Mapping[str, Any]] | None = None,
    statistics: Statistics | None = None,
) -> Statistics:
    """Run all passes that the algorithms of a configuration still need.

    Parameters
    ----------
    mod : IRModule
        Annotated.
    config : QConfig
    dataset : iterable of mappings from input name to array, optional
        Needed unless ``statistics`` are complete or no algorithm looks at data.
    statistics : Statistics, optional
        What was seen before. Stays as it is.

    Returns
    -------
    Statistics
        Complete, unless the statistics given lack the same pass over other shards.

    Raises
    ------
    TypeError, ValueError
        If the statistics are of something else, the dataset does not fit, or the model computes a
        NaN or infinity.
    """
    graph = Graph(mod["main"])
    calls, modes = activations(graph), calibration_modes(graph, config)
    algorithms = [algorithm_of(mode) for mode in modes]
    if statistics is not None:
        statistics.check(graph, config)
    done = 0 if statistics is None else statistics.passes_done
    missing = max((algorithm.passes for algorithm in algorithms), default=done) - done
    count = None
    if missing:
        name = next(mode for mode in modes if algorithm_of(mode).passes > done)
        batches = check_dataset(dataset, signature(mod)[0], name)
        needs_count = statistics is None and any(a.needs_count for a in algorithms)
        if missing + needs_count > 1:
            batches = batches.repeatable()
        count = batches.count() if needs_count else None
    if statistics is None:
        statistics = Statistics(calls, config, batches=count, modes=modes)
    for _ in range(missing):
        statistics = observe_pass(mod, graph, calls, config, batches, statistics)
    return statistics


def activations(graph: Graph) -> list[relax.Call]:
    """``simulated_quantize`` calls of an annotated graph that are not of weights, in order."""
    return [graph.bindings[var] for var in activation_vars(graph)]


def observe_pass(
    mod: IRModule,
    graph: Graph,
    calls: Sequence[relax.Call],
    config: QConfig,
    batches: Batches,
    statistics: Statistics,
    patience: float | None = None,
) -> Statistics:
    """Go through the data once more; ``statistics`` stay as they are.

    ``patience`` is how many seconds pass before a progress bar appears.
    """
    statistics = statistics.next_pass()
    chunk = config.calibrate_chunk_by if config.calibrate_chunk_by > 0 else max(len(calls), 1)
    starts = range(0, len(calls), chunk)
    evaluators = [
        Evaluator(graph, [call.args[0] for call in calls[start : start + chunk]], mod)
        for start in starts
    ]
    label = f"calibrate ({statistics.name}, pass {statistics.passes_done + 1})"
    with closing(track(batches, label, batches.length(), patience)) as items:
        for batch in items:
            for start, evaluator in zip(starts, evaluators, strict=True):
                evaluator.run(
                    batch, lambda i, x, start=start: statistics.update(start + i, _finite(x))
                )
            statistics.end_batch()
    statistics.end_pass()
    return statistics


def _finite(value: torch.Tensor) -> np.ndarray:
    low, high = torch.aminmax(value)  # NaN if any value is
    if not (torch.isfinite(low) and torch.isfinite(high)):
        raise ValueError(
            "the float model computes a NaN or infinity from the calibration data; check its "
            "weights, and that the data is scaled as in training"
        )
    return value.numpy()
