"""Quantize a model in many ways, and remember what does not depend on the way."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import tvm
from tvm import IRModule

from ._dataset import joined
from ._evaluate import Evaluator
from ._graph import Graph
from ._known_ranges import KnownRanges
from ._metric import Metric
from ._operations import integer_share
from ._passes import annotate_passes
from ._pipeline import finish
from ._point import Point
from ._selectors import select
from ._subject import Subject
from .calibrate import Grid, SetGrids, choose_grids
from .calibrate._modes import looks_at_data, read_activations
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
        corrects = bool(self.grids) and looks_at_data(self.config) is not None
        text = "\n".join([str(corrects), *self.config.skip])
        digest = hashlib.blake2b(text.encode(), digest_size=16)
        for grid in self.grids:
            numbers = (np.asarray(x) for x in (grid.scale, grid.low, grid.high))
            digest.update(b"".join(x.tobytes() for x in numbers))
        return digest.hexdigest()


class Trials:
    """Quantizes a model under configurations that differ in ``skip`` and calibration only.

    What is the same for all of them is done once: the float form, and the ranges of tensors.

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
        If the metric of the float model is not finite; later, if the data to measure on are others
        than before.
    """

    def __init__(
        self,
        subject: Subject,
        metric: Metric,
        modes: Sequence[str],
        cost: Callable[[IRModule], Any] | None = None,
    ):
        self._subject, self._metric, self._cost = subject, metric, cost
        *prepare, _ = annotate_passes(subject.config)
        self._prepared = tvm.transform.Sequential(prepare, name="Prepare")(subject.mod)
        self._ranges = KnownRanges(subject.dataset, modes)
        self._measured_on: str | None = None
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
        limits = self._ranges.of(annotated, config)
        return choose_grids(annotated, config, limits=limits, weigh=self._ranges.of_weight)

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
        return joined([run(batch)[0] for batch in self._unchanged()])

    def _unchanged(self) -> Iterator[Mapping[str, np.ndarray]]:
        """Yield the batches to measure on; raise if they turn out to be others than before."""
        digest = hashlib.blake2b(digest_size=16)
        for batch in self._subject.evaluation:
            for x in batch.values():
                digest.update(x.tobytes())
            yield batch
        found = digest.hexdigest()
        if self._measured_on not in (None, found):
            raise ValueError(
                "the data to measure on are not the same each time they are gone through, and "
                "outputs of different samples cannot be compared: do not shuffle them, or give a "
                "list of batches"
            )
        self._measured_on = found


def _number(value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"cost returned a {type(value).__name__}; return one number") from None
    if not math.isfinite(found):
        raise ValueError(f"cost returned {found}; return a finite number")
    return found
