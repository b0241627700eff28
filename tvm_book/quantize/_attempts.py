"""One trial after the other: what a plan means, what was tried, and what each layer alone costs."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from ._alone import Alone
from ._find_layers import Reach
from ._front import best_of
from ._layer_costs import layer_costs
from ._metric import metric_of
from ._point import Point
from ._sensitivity_result import LayerCost
from ._subject import Subject
from ._trials import Trials
from .bias_correction import first_batches
from .calibrate._modes import looks_at_data
from .config import QConfig
from .recipe import Recipe

__all__ = ["Attempts", "Limits", "Plan", "Spent", "Steps"]

Found = TypeVar("Found")
Steps = Generator[Point, None, Found]  # yields each trial, and returns what it found


class Spent(Exception):
    """The budget, or the time, is used up."""


class Plan(NamedTuple):
    """What is changed in the given configuration."""

    floats: frozenset[str] = frozenset()
    layers: tuple[tuple[str, str], ...] = ()
    mode: str | None = None


@dataclass
class Limits:
    """When to stop, and what is enough."""

    max_drop: float
    budget: int
    seconds: float | None
    seed: int


class Attempts:
    """What a search has tried so far.

    Parameters
    ----------
    trials : Trials
    subject : Subject
    modes : sequence of str
        Algorithms to try.
    limits : Limits

    Attributes
    ----------
    points : list of Point
        Everything tried so far.
    recipe : Recipe or None
        Of the best so far.
    """

    def __init__(self, trials: Trials, subject: Subject, modes: Sequence[str], limits: Limits):
        self._trials, self._subject, self._limits = trials, subject, limits
        self._modes = [mode for mode in modes if mode != subject.config.calibrate_mode]
        self._seen: dict[QConfig, Point] = {}
        self._same: dict[str, Point] = {}
        self._start = time.monotonic()
        self._looked_at = first_batches(subject.evaluation)
        self._order: list[str] = []
        self._owner: dict[str, str] = {}
        self.points: list[Point] = []
        self.recipe: Recipe | None = None

    def _enough(self, point: Point) -> bool:
        """Whether to stop: to leave more in float never makes the integer share larger."""
        return self._fine(point) and point.cost is None

    def _fine(self, point: Point) -> bool:
        return point.drop <= self._limits.max_drop

    def _config(self, plan: Plan) -> QConfig:
        given = self._subject.config
        if plan == Plan():
            return given  # with all its selectors: one that means nothing is an error
        floats = sorted(plan.floats, key=self._order.index)
        config = replace(
            given,
            skip=(*given.skip, *floats),
            calibrate_mode=given.calibrate_mode if plan.mode is None else plan.mode,
            calibrate_layers=(),
        )
        layers = (*plan.layers, *given.calibrate_layers)
        return self._trials.known(config, layers) if layers else config

    def _try(self, plan: Plan, note: str) -> Steps[Point]:
        """Return the point of a plan; one that makes the same module as another is no trial."""
        config = self._config(plan)
        if config in self._seen:
            return self._seen[config]
        seconds = self._limits.seconds
        late = seconds is not None and self.points and time.monotonic() - self._start > seconds
        if len(self.points) >= self._limits.budget or late:
            raise Spent
        trial = self._trials.prepare(config)
        if trial.signature in self._same:
            self._seen[config] = self._same[trial.signature]
            return self._seen[config]
        point, recipe = self._trials.run(trial, note, len(self.points))
        points = [*self.points, point]
        is_best = best_of(points, self._limits.max_drop) == len(points) - 1
        self.points, self.recipe = points, recipe if is_best else self.recipe
        self._seen[config] = self._same[trial.signature] = point
        yield point
        return point

    def _costs(self, plan: Plan, corrected: bool = True) -> list[LayerCost]:
        """Say what each layer alone costs, in visiting order."""
        config = self._config(plan)
        batches = first_batches(self._subject.dataset)
        corrects = corrected and looks_at_data(config) is not None
        alone = Alone(self._trials.calibrated(config), config, batches if corrects else ())
        if not alone.layers:
            return []
        costs, _ = layer_costs(alone, self._looked_at, metric_of("sqnr_db"))
        if not self._order:
            self._order = [cost.selector for cost in costs]
            self._owner = owners(alone, costs)
        return [cost for cost in costs if cost.selector in self._order]

    def _more_accurate(self, plan: Plan, other: Plan) -> Plan:
        new, old = (self._seen[self._config(each)].value for each in (plan, other))
        return plan if new > old else other

    def _is_fine(self, plan: Plan) -> bool:
        return self._fine(self._seen[self._config(plan)])

    def _accept(self, plan: Plan, new: Plan, note: str) -> Steps[Plan]:
        """Return the new plan if it is good enough, and better or shorter; else the old one."""
        if new == plan:
            return plan
        point = yield from self._try(new, note)
        old = self._seen[self._config(plan)]
        shorter = len(new.floats) < len(plan.floats) and point.value >= old.value
        better = point.gain > old.gain or (point.gain == old.gain and shorter)
        return new if self._fine(point) and better else plan

    def _operations(self, costs: list[LayerCost]) -> dict[str, int]:
        found: dict[str, int] = {}
        for cost in costs:
            found[cost.selector] = found.get(cost.selector, 0) + cost.operations
        return found


def owners(alone: Alone, costs: Sequence[LayerCost]) -> dict[str, str]:
    """Say of each selector which layer with multiplications it follows; itself if none.

    Where several reach an operator, the last one counts.
    """
    reach = Reach(alone.graph, alone.layers)
    owner: list[str] = []
    for layer, cost in zip(alone.layers, costs, strict=True):
        before = max(reach.reads(layer), default=-1)
        follows = not cost.operations and before >= 0
        owner.append(owner[before] if follows else cost.selector)
    found: dict[str, str] = {}
    for cost, name in zip(costs, owner, strict=True):
        found.setdefault(cost.selector, name)
    return found
