"""What `CompiledModel.profile` returns: a table, and the same in words."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from .._text import as_text, plural, shape_text

__all__ = ["Profile"]

SLOWEST = 5  # rows that `explain` names
WORTH = 0.02  # of a run: advice about less is not given
LOW = 0.3  # of the peak: below it a kernel is held up by something else than its products


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _shape(value: tuple[int, ...] | None) -> str:
    return "" if value is None else shape_text(value)


# Column: heading, key of the row, text of the value, whether it stands to the right.
COLUMNS: tuple[tuple[str, str, Callable[[Any], str], bool], ...] = (
    ("layer", "layer", str, False),
    ("computes", "operators", lambda names: _short(names), False),
    ("shape", "shape", _shape, False),
    ("dtype", "dtype", str, False),
    ("isa", "isa", str, False),
    ("µs", "us", _number, True),
    ("GOPS", "gops", _number, True),
    ("of peak", "peak", _percent, True),
    ("of run", "share", _percent, True),
    ("why not int8", "why", str, False),
)

# What to do about a row, by the beginning of its reason.
ADVICE = (
    (
        "TVM loops",
        "TVM's plain loops are slow: use an operator that has a kernel, or one on smaller tensors",
    ),
    (
        "float operator: nothing is quantized",
        "this is a float model; tvm_book.quantize.quantize makes it int8",
    ),
    (
        "float operator: not quantized, by",
        'let the quantizer have it: qconfig(preset="accurate"), or skip=(), skip_conv_layers=[] '
        "and skip_dense_layer=False",
    ),
    ("float operator", "it stays float; fewer of them between integer layers save conversions too"),
    (
        "entry",
        "each change of float to integers costs a pass over the tensor: keep layers together",
    ),
    ("exit", "each change of integers to float costs a pass over the tensor: keep layers together"),
    ("copy", "a copy from one layout to another: its neighbours want different ones"),
)


@dataclass(frozen=True, repr=False)
class Profile:
    """Where the time of a run goes. `CompiledModel.profile` makes one.

    In a terminal and in a notebook it shows itself as a table.

    Attributes
    ----------
    rows : list of dict
        One for each call of a kernel, or of the loops that TVM made of an operator without one, in
        the order of the run. ``layer`` is the module path of the source model, ``operators`` what
        the call computes, ``shape`` that of its result, ``dtype`` what it multiplies, ``isa`` the
        instruction set, ``us`` the median time, ``gops`` billions of multiplications and additions
        a second and ``peak`` their share of what this machine reached in a kernel of nothing else
        (None where they are not counted), ``share`` the part of the time of all rows, ``why`` the
        reason for which it is not an int8 kernel and ``function`` its symbol.
    total : float
        Median time of a whole run, in microseconds, without looking at its calls; looking adds some
        tenths of a microsecond to each, so that the sum of many short ones can be more.
    isa : str
    threads : int
        How many threads ran.

    Examples
    --------
    >>> from tvm_book.runtime import Profile
    >>> row = {"layer": "fc", "operators": "matmul, add", "shape": (1, 10), "dtype": "float32"}
    >>> row |= {"isa": "portable", "us": 8.0, "gops": 2.0, "peak": 0.02, "share": 1.0}
    >>> report = Profile([row | {"why": "float operator", "function": "f"}], 10.0, "portable", 1)
    >>> print(report.explain())
    A run takes 10.0 µs on 1 thread with portable: 8.0 µs in 1 call, the rest between them.
    float32 takes 100% of the calls' time.
    The slowest:
    - fc (matmul +1), float32: 8.0 µs, 100%, at 2% of the peak: float operator
    What to do:
    - float operator (1 call, 100%): it stays float; fewer of them between integer layers save \
conversions too
    """

    rows: list[dict[str, Any]]
    total: float
    isa: str
    threads: int

    def explain(self) -> str:
        """Say in words which calls are slow, which are float and why, and what to do.

        Returns
        -------
        str
            A few lines.
        """
        spent, count = sum(row["us"] for row in self.rows), len(self.rows)
        rest = ", the rest between them" * (spent < self.total)
        lines = [
            f"A run takes {self.total:.1f} µs on {plural(self.threads, 'thread')} with "
            f"{self.isa}: {spent:.1f} µs in {plural(count, 'call')}{rest}."
        ]
        shares: Counter[str] = Counter()
        for row in self.rows:
            shares[row["dtype"] if row["isa"] == self.isa else row["isa"]] += row["share"]
        parts = [f"{name} takes {share:.0%}" for name, share in shares.most_common()]
        if parts:
            lines.append(f"{', '.join(parts)} of the calls' time.")
            lines.append("The slowest:")
        for row in sorted(self.rows, key=lambda row: -row["us"])[:SLOWEST]:
            lines.append(f"- {_line(row)}")
        advice = self._advice()
        return "\n".join([*lines, *(["What to do:", *advice] if advice else [])])

    def _advice(self) -> list[str]:
        lines = []
        for begin, text in _first_matches(self.rows):
            rows = [row for row in self.rows if _matching(row["why"]) == begin]
            share = sum(row["share"] for row in rows)
            lines.append((share, f"- {begin} ({plural(len(rows), 'call')}, {share:.0%}): {text}"))
        slow = [row for row in self.rows if row["dtype"] == "int8" and (row["peak"] or 1) < LOW]
        if slow:
            share = sum(row["share"] for row in slow)
            text = (
                f"- int8 below {LOW:.0%} of the peak ({plural(len(slow), 'call')}, {share:.0%}): "
                "too small for the threads, or waiting for memory; larger batches or images help"
            )
            lines.append((share, text))
        return [text for share, text in sorted(lines, key=lambda ln: -ln[0]) if share >= WORTH]

    def __rich__(self) -> Table:
        title = f"{self.total:.1f} µs a run, {plural(self.threads, 'thread')}, {self.isa}"
        table = Table(title=title, title_justify="left")
        for heading, _, _, right in COLUMNS:
            table.add_column(heading, justify="right" if right else "left")
        for row in self.rows:
            table.add_row(*(text(row[key]) for _, key, text, _ in COLUMNS))
        return table

    def __repr__(self) -> str:
        return as_text(self.__rich__())

    def _repr_html_(self) -> str:
        title = f"{self.total:.1f} µs a run, {plural(self.threads, 'thread')}, {self.isa}"
        head = "".join(_cell("th", heading, right) for heading, _, _, right in COLUMNS)
        body = "".join(
            "<tr>" + "".join(_cell("td", text(row[key]), right) for _, key, text, right in COLUMNS)
            for row in self.rows
        )
        return (
            f'<table class="table dataframe"><caption>{html.escape(title)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def _cell(tag: str, text: str, right: bool) -> str:
    return f'<{tag} style="text-align: {"right" if right else "left"}">{html.escape(text)}</{tag}>'


def _short(names: str) -> str:
    """Name the first operator, and how many its kernel computes along."""
    first, *others = names.split(", ")
    return first.removeprefix("nn.") + (f" +{len(others)}" if others else "")


def _line(row: dict[str, Any]) -> str:
    text = f"{row['layer'] or row['function']} ({_short(row['operators'])}), {row['dtype']}: "
    text += f"{row['us']:.1f} µs, {row['share']:.0%}"
    if row["peak"] is not None:
        text += f", at {row['peak']:.0%} of the peak"
    return text + (f": {row['why']}" if row["why"] else "")


def _matching(why: str) -> str | None:
    return next((begin for begin, _ in ADVICE if why.startswith(begin)), None)


def _first_matches(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    present = {_matching(row["why"]) for row in rows}
    return [(begin, text) for begin, text in ADVICE if begin in present]
