"""Quantize a model in many ways, and remember what does not depend on the way."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import tvm
from tvm import IRModule, relax

from ._evaluate import Evaluator
from ._find_layers import find_layers, is_move, operations
from ._graph import Graph, op_name
from ._metric import Metric
from ._passes import annotate_passes
from ._pipeline import finish
from ._point import Point
from ._selectors import select
from ._subject import Subject
from .calibrate import Grid, SetGrids, Statistics, choose_grids
from .calibrate._algorithms import algorithm_of
from .calibrate._collect import activations, observe_pass
from .calibrate._fingerprint import value_keys
from .calibrate._grid import SIMULATED
from .calibrate._modes import calibration_modes, looks_at_data, read_activations
from .calibrate._ranges import weight_magnitudes
from .config import QConfig
from .recipe import Recipe

__all__ = ["Trial", "Trials"]


class Trial(NamedTuple):
    """A module that is annotated, and the grids for it."""

    config: QConfig
    annotated: IRModule
    grids: list[Grid]

    @property
    def signature(self) -> str:
        """Equal for trials that make equal modules of one float model."""
        digest = hashlib.blake2b("\n".join(self.config.skip).encode(), digest_size=16)
        for grid in self.grids:
            numbers = (np.asarray(x) for x in (grid.scale, grid.low, grid.high))
            digest.update(b"".join(x.tobytes() for x in numbers))
        return digest.hexdigest()


class Trials:
    """Quantizes a model under configurations that differ in ``skip`` and calibration only.

    What is the same for all of them is done once: the float form, the statistics of each tensor
    under each algorithm, the grids of weights.

    Parameters
    ----------
    subject : Subject
    metric : Metric
    modes : sequence of str
        Algorithms that may be asked for; each tensor is observed for all of them together.
    cost : callable (IRModule) -> float, optional

    Attributes
    ----------
    reference : numpy.ndarray
        The output of the float model.
    float_value : float
        The metric of the float model itself.

    Raises
    ------
    ValueError
        If the metric of the float model is not finite.
    """

    def __init__(
        self,
        subject: Subject,
        metric: Metric,
        modes: Sequence[str],
        cost: Callable[[IRModule], Any] | None = None,
    ):
        self._subject, self._metric, self._cost, self._modes = subject, metric, cost, list(modes)
        *prepare, self._annotate = annotate_passes(subject.config)
        self._prepared = tvm.transform.Sequential(prepare, name="Prepare")(subject.mod)
        self._limits: dict[tuple[str, str, str | type], Callable[[], tuple[float, float]]] = {}
        self._magnitudes: dict[tuple[bytes, int | None], np.ndarray] = {}
        self.reference = self._outputs(subject.mod)
        self.float_value = metric(self.reference, self.reference)
        if not math.isfinite(self.float_value):
            raise ValueError(
                f"metric {metric.name} of the float model itself is {self.float_value}, so no drop "
                "can be computed; take one that is finite for equal outputs, such as "
                "'cosine_similarity' or 'relative_l2'"
            )

    def annotated(self, config: QConfig) -> IRModule:
        """Return the annotated module; ``config`` differs from the subject's in what is skipped."""
        return annotate_passes(config)[-1](self._prepared)

    def known(self, config: QConfig, layers: Sequence[tuple[str, str]]) -> QConfig:
        """Return ``config`` with those of ``layers`` that mean a rounded activation in it."""
        graph = Graph(self.annotated(config)["main"])
        reads = read_activations(graph, config)
        kept = []
        for selector, mode in layers:
            try:
                select(graph, [selector], among=reads)
            except ValueError:  # what it means is in float here
                continue
            kept.append((selector, mode))
        return replace(config, calibrate_layers=kept)

    def grids(self, annotated: IRModule, config: QConfig) -> list[Grid]:
        """Choose the grids as `quantize` would."""
        limits = self._limits_of(annotated, config)
        return choose_grids(annotated, config, limits=limits, weigh=self._weigh)

    def calibrated(self, config: QConfig) -> IRModule:
        """Return the annotated module with its grids."""
        annotated = self.annotated(config)
        return SetGrids.as_pass(self.grids(annotated, config))(annotated)

    def prepare(self, config: QConfig) -> Trial:
        """Choose the grids under a configuration."""
        annotated = self.annotated(config)
        return Trial(config, annotated, self.grids(annotated, config))

    def run(self, trial: Trial, note: str, number: int) -> tuple[Point, Recipe]:
        """Quantize, and measure: the same module, bit for bit, as `quantize` returns.

        Parameters
        ----------
        trial : Trial
        note : str
            What the trial is for.
        number : int
            Of the trial.

        Returns
        -------
        (Point, Recipe)
        """
        config, annotated, grids = trial
        mod = self._subject.mod
        if grids:

            def set_grids(keep: Callable[[list[Grid]], None]) -> tvm.transform.Pass:
                keep(grids)
                return SetGrids.as_pass(grids)

            batches = self._subject.dataset if looks_at_data(config) else None
            qmod = finish(mod, annotated, config, batches, set_grids)
        else:
            qmod = Recipe.made(mod, config).attach(mod.clone())
        value = self._metric(self.reference, self._outputs(qmod))
        point = Point(
            number=number,
            config=config,
            value=value,
            drop=self.float_value - value,
            share=integer_share(Graph(annotated["main"])),
            cost=None if self._cost is None else _number(self._cost(qmod)),
            note=note,
        )
        return point, Recipe.of(qmod)

    def _outputs(self, mod: IRModule) -> np.ndarray:
        graph = Graph(mod["main"])
        run = Evaluator(graph, [graph.output], mod)
        return np.concatenate([run(batch)[0] for batch in self._subject.evaluation])

    def _weigh(self, weight: np.ndarray, axis: int | None, config: QConfig) -> np.ndarray:
        content = hashlib.blake2b(weight.tobytes(), digest_size=16)
        content.update(str(weight.shape).encode())
        key = content.digest(), axis
        if key not in self._magnitudes:
            self._magnitudes[key] = weight_magnitudes(weight, axis, config)
        return self._magnitudes[key]

    def _limits_of(self, annotated: IRModule, config: QConfig) -> list[tuple[float, float]]:
        graph = Graph(annotated["main"])
        keys, calls = value_keys(graph), activations(graph)
        modes = calibration_modes(graph, config)
        tensors = [(keys[call.args[0]], str(call.attrs["kind"])) for call in calls]
        wanted = list(zip(tensors, modes, strict=True))
        unseen = {
            tensor: call
            for (tensor, mode), call in zip(wanted, calls, strict=True)
            if (*tensor, mode) not in self._limits
        }
        if unseen:
            self._observe(annotated, graph, unseen, config, list(dict.fromkeys(modes)))
        return [self._limits[(*tensor, mode)]() for tensor, mode in wanted]

    def _observe(
        self,
        mod: IRModule,
        graph: Graph,
        calls: Mapping[tuple[str, str], relax.Call],
        config: QConfig,
        modes: Sequence[str | type],
    ) -> None:
        """Look at the data, once for all algorithms."""
        modes = list(dict.fromkeys([*self._modes, *modes]))
        pairs = [(tensor, mode) for tensor in calls for mode in modes]
        algorithms = [algorithm_of(mode) for mode in modes]
        batches, passes = self._subject.dataset, max(each.passes for each in algorithms)
        count = batches.count() if any(each.needs_count for each in algorithms) else None
        watched = [calls[tensor] for tensor, _ in pairs]
        seen = Statistics(watched, config, batches=count, modes=[mode for _, mode in pairs])
        for _ in range(passes):
            # without a bar of its own: the one of the search is shown
            seen = observe_pass(mod, graph, watched, config, batches, seen, patience=math.inf)
        for index, (tensor, mode) in enumerate(pairs):
            self._limits[(*tensor, mode)] = _once(seen, index)


def _once(statistics: Statistics, index: int) -> Callable[[], tuple[float, float]]:
    """Search for a range when it is asked for first: some algorithms take long."""
    found: list[tuple[float, float]] = []

    def limit() -> tuple[float, float]:
        if not found:
            found.append(statistics.limit(index))
        return found[0]

    return limit


def integer_share(graph: Graph) -> float:
    """Share of an annotated model's multiplications whose both operands are rounded."""
    counts = {var: operations(graph.bindings[var]) for var in graph.post_order()}
    rounded = (layer.var for layer in find_layers(graph) if _is_integer(graph, layer.var))
    return sum(counts[var] for var in rounded) / max(sum(counts.values()), 1)


def _is_integer(graph: Graph, var: relax.Var) -> bool:
    """Whether a layer's second operand, its weight or another activation, is rounded."""
    if not operations(graph.bindings[var]):
        return False
    source = graph.bindings[var].args[1]
    while is_move(graph.bindings.get(source)):
        source = graph.bindings[source].args[0]
    return op_name(graph.bindings.get(source)) == SIMULATED


def _number(value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"cost returned a {type(value).__name__}; return one number") from None
    if not math.isfinite(found):
        raise ValueError(f"cost returned {found}; return a finite number")
    return found
