"""What `search` returns: every trial, the front, and the best."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table
from tvm import IRModule

from .._json import json_text
from .._text import as_text, plural
from ._front import best_of, front_of
from ._point import COLUMNS, Point, mode_name
from ._result_table import Column, result_html, result_table
from ._subject import Subject
from .recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SearchResult"]


@dataclass(frozen=True, repr=False)
class SearchResult:
    """Which layers should stay in float, or be calibrated in another way. `search` makes one.

    In a terminal and in a notebook it shows the statement and a table of the front.

    Attributes
    ----------
    trials : tuple of Point
        All of them, in the order in which they were made; the first one is the given configuration.
    metric : str
    float_value : float
        The metric of the float model.
    max_drop : float
    interrupted : bool
        Whether the search was stopped by Ctrl-C.
    recipe : Recipe
        Of `best`: ``recipe.apply(mod, params)`` makes its module without data.
    """

    trials: tuple[Point, ...]
    metric: str
    float_value: float
    max_drop: float
    interrupted: bool
    recipe: Recipe = field(compare=False)
    _subject: Subject = field(compare=False)

    @property
    def front(self) -> tuple[Point, ...]:
        """The points that no other one beats, the largest integer share (least cost) first."""
        return tuple(self.trials[index] for index in front_of(self.trials))

    @property
    def best(self) -> Point:
        """The point with the largest integer share (least cost) that drops by at most `max_drop`.

        Of equally accurate ones, that with the shortest ``skip``. If there is none, the most
        accurate one.
        """
        return self.trials[best_of(self.trials, self.max_drop)]

    @property
    def satisfied(self) -> bool:
        """Whether `best` drops by at most `max_drop`."""
        return self.best.drop <= self.max_drop

    def quantize(self, point: Point | None = None) -> IRModule:
        """Return the quantized module of a point.

        Parameters
        ----------
        point : Point, optional
            By default `best`, which needs no calibration any more.

        Returns
        -------
        IRModule
        """
        from ._pipeline import quantize

        mod, dataset = self._subject.mod, self._subject.dataset
        if point is not None and not isinstance(point, Point):
            raise TypeError(f"point is a {type(point).__name__}; give one of trials or of front")
        if point is None or point == self.best:
            return self.recipe.apply(mod)
        with self.recipe.pass_context():
            return quantize(mod, None, dataset, config=point.config)

    @property
    def statement(self) -> str:
        """What was found, in words."""
        best = self.best
        text = f"{self.metric} {best.value:.6g}, {best.drop:.3g} below float, {best.share:.1%} int8"
        text += "" if best.cost is None else f", cost {best.cost:.4g}"
        count = plural(len(self.trials), "trial")
        if self.satisfied:
            head = f"Trial {best.number} of {count} drops by at most {self.max_drop:g}"
        else:
            head = f"No trial of {count} drops by at most {self.max_drop:g}; the most accurate one"
        end = " The search was interrupted." if self.interrupted else ""
        return f"{head}: {text}.{end}"

    def rows(self) -> list[dict[str, Any]]:
        """Return a row a trial, as plain values.

        Returns
        -------
        list of dict
            With the keys ``number``, ``note``, ``value``, ``drop``, ``share``, ``cost``, ``skip``,
            ``calibrate_mode``, ``calibrate_layers``, ``front`` and ``best``.
        """
        on_front, best = {point.number for point in self.front}, self.best.number
        return [
            {
                "number": point.number,
                "note": point.note,
                "value": point.value,
                "drop": point.drop,
                "share": point.share,
                "cost": point.cost,
                "skip": list(point.config.skip),
                "calibrate_mode": mode_name(point.config),
                "calibrate_layers": dict(point.config.calibrate_layers),
                "front": point.number in on_front,
                "best": point.number == best,
            }
            for point in self.trials
        ]

    def to_json(self, indent: int | None = 2) -> str:
        """Return everything as JSON (RFC 8259); an infinite number is ``"Infinity"``.

        Parameters
        ----------
        indent : int or None, optional
            Spaces a level; None writes a single line.
        """
        document = {
            "metric": self.metric,
            "float_value": self.float_value,
            "max_drop": self.max_drop,
            "satisfied": self.satisfied,
            "interrupted": self.interrupted,
            "trials": self.rows(),
        }
        return json_text(document, indent)

    def plot(self) -> Figure:
        """Draw all trials, and the front: accuracy against the integer share, or the cost.

        Returns
        -------
        matplotlib.figure.Figure
            The last expression of a cell displays it.
        """
        from ..viz import plot_pareto

        by_cost = self.trials[0].cost is not None

        def place(point: Point) -> tuple[float, float]:
            return (point.cost if by_cost else 100 * point.share), point.value

        return plot_pareto(
            [place(point) for point in self.trials],
            [place(point) for point in self.front],
            best=place(self.best),
            bounds={
                "float": self.float_value,
                f"float − {self.max_drop:g}": self.float_value - self.max_drop,
            },
            labels=("cost" if by_cost else "multiplications in integers, %", self.metric),
        )

    def _columns(self) -> list[Column[Point]]:
        shown = [c for c in COLUMNS if c[0] != "cost" or self.trials[0].cost is not None]
        return [(heading.format(metric=self.metric), text, right) for heading, text, right in shown]

    def table(self, all_trials: bool = False) -> Table:
        """Return the table that is printed.

        Parameters
        ----------
        all_trials : bool, optional
            Show every trial, not only the front.

        Returns
        -------
        rich.table.Table
        """
        return result_table(
            self.statement,
            self._columns(),
            self.trials if all_trials else self.front,
            lambda point: "bold" if point == self.best else "",
        )

    def __rich__(self) -> Table:
        return self.table()

    def __repr__(self) -> str:
        return as_text(self.table())

    def _repr_html_(self) -> str:
        return result_html(self.statement, self._columns(), self.front)
