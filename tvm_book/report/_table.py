"""A report's table for a terminal, with as many columns as there is room for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ._columns import COLUMNS, LESS_NEEDED

__all__ = ["fitting_table", "rich_table"]

ENDLESS = 10_000  # columns, more than any table has


def rich_table(rows: Sequence[dict[str, Any]], title: str, without: Collection[str] = ()) -> Table:
    """Return a table of `COLUMNS`, but for those whose keys are left out."""
    table = Table(title=title, title_justify="left")
    columns = [column for column in COLUMNS if column[1] not in without]
    for heading, _, _, right in columns:
        side = "right" if right else "left"
        table.add_column("\n".join(heading.split()), justify=side, overflow="fold")
    for row in rows:
        table.add_row(*(Text(text(row[key])) for _, key, text, _ in columns))
    return table


def fitting_table(
    rows: Sequence[dict[str, Any]], title: str, console: Console, options: ConsoleOptions
) -> Table:
    """Return the table with the most columns that fits, or that with the fewest."""
    endless = options.update(max_width=ENDLESS)
    for count in range(len(LESS_NEEDED) + 1):
        table = rich_table(rows, title, LESS_NEEDED[:count])
        if Measurement.get(console, endless, table).maximum <= options.max_width:
            break
    return table
