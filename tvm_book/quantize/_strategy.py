"""In which order `search` tries configurations: first what costs no integers.

Candidates are ranked by the error at the output that each layer alone makes; what is decided is
always decided by quantizing the whole model and measuring.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from ._attempts import Attempts, Plan, Spent, Steps
from ._point import Point
from ._sensitivity_result import LayerCost

__all__ = ["Strategy"]

BETTER = 0.8  # of the noise: another algorithm has to make it so much less to be worth a trial
NOTABLE = 0.02  # of the noise of all layers
SMALL = 1e-3  # of all multiplications: what a layer without any counts for
PATIENCE = 8  # exchanges in a row that bring nothing


class Strategy(Attempts):
    """A search: in which order to try what. What it takes is what `Attempts` takes."""

    def run(self) -> Iterator[Point]:
        """Yield each point as soon as it is there; ends when nothing is left to try."""
        try:
            yield from self._run()
        except Spent:
            return

    def _run(self) -> Iterator[Point]:
        point = yield from self._try(Plan(), "as given")
        if self._enough(point):
            return
        plan = yield from self._calibrate()
        if self._enough(self._seen[self._config(plan)]):
            return
        costs = self._costs(plan)
        if not costs:
            return
        found = yield from self._leave_out(plan, costs)
        if found is None:
            return
        plan = yield from self._take_back(found, costs)
        point = self._seen[self._config(plan)]
        if self._enough(point) and point.gain == self.points[0].gain:
            return
        plan = yield from self._recalibrate(plan, costs)
        yield from self._exchange(plan, costs)

    # other algorithms: they cost no integers

    def _calibrate(self) -> Steps[Plan]:
        """Return the plan with the most accurate calibration: one for all, or one a layer."""
        best = Plan()
        base = self._costs(best, corrected=False)
        by_mode = {mode: self._costs(Plan(mode=mode), corrected=False) for mode in self._modes}
        best = yield from self._calibrate_layers(best, base, by_mode)
        totals = {mode: sum(cost.noise for cost in costs) for mode, costs in by_mode.items()}
        for mode in sorted(totals, key=totals.get)[:2]:
            if self._is_fine(best):
                break
            plan = Plan(mode=mode)
            yield from self._try(plan, f"all by {mode}")
            best = self._more_accurate(plan, best)
        return best

    def _calibrate_layers(
        self, best: Plan, base: list[LayerCost], by_mode: dict[str, list[LayerCost]]
    ) -> Steps[Plan]:
        """Give each layer the algorithm under which it costs least; if that fails, only the first.

        Those that gain most come first: they win where layers share a tensor.
        """
        gains = []
        for number, cost in enumerate(base):
            noises = {mode: costs[number].noise for mode, costs in by_mode.items()}
            mode = min(noises, key=noises.get, default=None)
            if mode is not None and noises[mode] < BETTER * cost.noise:
                gains.append((cost.noise - noises[mode], cost.selector, mode))
        gains.sort(key=lambda gain: -gain[0])
        count = len(gains)
        while count:
            plan = Plan(layers=tuple((selector, mode) for _, selector, mode in gains[:count]))
            yield from self._try(plan, f"{count} layers calibrated anew")
            best = self._more_accurate(plan, best)
            if self._is_fine(best):
                break
            count //= 4
        return best

    # layers in float

    def _leave_out(self, plan: Plan, costs: list[LayerCost]) -> Steps[Plan | None]:
        """Leave the first layers of two rankings in float: as few of them as are enough.

        A layer goes with what follows it up to the next one: to round its result for a sum or a
        function, which then returns to float, would often cost more than is gained. Returns the
        better plan of both, None if no number of layers is enough.
        """
        plan = yield from self._leave_out_free(plan, costs)
        if self._is_fine(plan):
            return plan
        noise, operations = dict.fromkeys(self._owner.values(), 0.0), self._operations(costs)
        for cost in costs:
            noise[self._owner[cost.selector]] += cost.noise
        total = max(sum(operations.values()), 1)
        ratio = {s: noise[s] / (operations.get(s, 0) / total + SMALL) for s in noise}
        found = []
        for value, name in ((ratio, "worst a product"), (noise, "worst")):
            ranking = sorted(noise, key=lambda s, value=value: (-value[s], self._order.index(s)))
            ranking = [s for s in ranking if noise[s]]
            count = yield from self._fewest(plan, ranking, name)
            if count is not None:
                found.append(self._with(plan, ranking[:count]))
        points = [self._seen[self._config(each)] for each in found]
        return max(zip(found, points, strict=True), key=lambda x: x[1].gain)[0] if found else None

    def _leave_out_free(self, plan: Plan, costs: list[LayerCost]) -> Steps[Plan]:
        """Leave operators in float that multiply nothing, if they make much of the error."""
        total = sum(cost.noise for cost in costs)
        free = [cost for cost in costs if not cost.operations and cost.noise > NOTABLE * total]
        free.sort(key=lambda cost: -cost.noise)
        names, best = list(dict.fromkeys(cost.selector for cost in free)), plan
        for count in dict.fromkeys((1, len(names)) if names else ()):
            new = plan._replace(floats=plan.floats | set(names[:count]))
            yield from self._try(new, f"{count} operators in float")
            best = self._more_accurate(new, best)
            if self._is_fine(best):
                break
        return best

    def _with(self, plan: Plan, owned: Sequence[str]) -> Plan:
        """Leave layers in float, each with what follows it."""
        floats = {selector for selector, owner in self._owner.items() if owner in owned}
        return plan._replace(floats=plan.floats | floats)

    def _fewest(self, plan: Plan, ranking: list[str], name: str) -> Steps[int | None]:
        """Double the number until it is enough, then halve what is between."""
        low, high = 0, 1
        while True:
            high = min(high, len(ranking))
            fine = yield from self._prefix(plan, ranking, high, name)
            if fine:
                break
            if high == len(ranking):
                return None
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            fine = yield from self._prefix(plan, ranking, middle, name)
            low, high = (low, middle) if fine else (middle, high)
        return high

    def _prefix(self, plan: Plan, ranking: list[str], count: int, name: str) -> Steps[bool]:
        new = self._with(plan, ranking[:count])
        point = yield from self._try(new, f"{name} {count} in float")
        return self._fine(point)

    def _take_back(self, plan: Plan, costs: list[LayerCost]) -> Steps[Plan]:
        """Quantize again what need not be in float: several at once, then one by one."""
        weight = self._operations(costs)
        size = max(len(plan.floats) // 2, 1)
        while True:
            before = plan
            ordered = sorted(plan.floats, key=lambda s: (-weight[s], self._order.index(s)))
            for start in range(0, len(ordered), size):
                back = frozenset(ordered[start : start + size]) & plan.floats
                plan = yield from self._accept(
                    plan, plan._replace(floats=plan.floats - back), f"{len(back)} back to int8"
                )
            if size == 1 and plan == before:
                return plan
            size = max(size // 2, 1)

    def _recalibrate(self, plan: Plan, costs: list[LayerCost]) -> Steps[Plan]:
        """Quantize a layer again, calibrated by another algorithm."""
        weight = self._operations(costs)
        for selector in sorted(plan.floats, key=lambda s: (-weight[s], self._order.index(s))):
            for mode in self._modes:
                if selector in plan.floats:
                    new = plan._replace(
                        floats=plan.floats - {selector}, layers=((selector, mode), *plan.layers)
                    )
                    note = f"{selector} back to int8, by {mode}"
                    plan = yield from self._accept(plan, new, note)
        return plan

    def _exchange(self, plan: Plan, costs: list[LayerCost]) -> Steps[Plan]:
        """Exchange a layer in float for one or two smaller ones, drawn by their noise."""
        weight, draw = self._operations(costs), random.Random(self._limits.seed)
        noise = {cost.selector: cost.noise for cost in costs}
        failures = 0
        while failures < PATIENCE and plan.floats:
            out = draw.choice(sorted(plan.floats, key=self._order.index))
            others = [s for s in self._order if s not in plan.floats and weight[s] < weight[out]]
            if not others:
                failures += 1
                continue
            new = draw.choices(
                others, [min(noise[s], 1.0) + 1e-12 for s in others], k=draw.choice((1, 2))
            )
            new = list(dict.fromkeys(new))
            floats = plan.floats - {out} | set(new)
            after = yield from self._accept(
                plan, plan._replace(floats=floats), f"{out} exchanged for {', '.join(new)}"
            )
            failures = 0 if after != plan else failures + 1
            plan = after
        return plan
