"""Tables of results: one row an item, for a terminal and for a notebook."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from rich.table import Table
from rich.text import Text

__all__ = ["Column", "result_html", "result_table"]

Item = TypeVar("Item")
Column = tuple[str, Callable[[Item], str], bool]  # heading, text, whether it stands to the right


def result_table(
    title: str,
    columns: Sequence[Column[Item]],
    items: Iterable[Item],
    style: Callable[[Item], str] = lambda _: "",
) -> Table:
    """Return a table for a terminal; ``style`` is rich's, of an item's row."""
    table = Table(title=title, title_justify="left")
    for heading, _, right in columns:
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for item in items:
        table.add_row(*(Text(text(item)) for _, text, _ in columns), style=style(item))
    return table


def result_html(title: str, columns: Sequence[Column[Item]], items: Iterable[Item]) -> str:
    """Return the same for a notebook, the title above it."""
    from ..viz import table

    rows = [{heading: text(item) for heading, text, _ in columns} for item in items]
    return f"<p>{html.escape(title)}</p>{table(rows)._repr_html_()}"
