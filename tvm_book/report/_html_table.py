"""A report's table as HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from typing import Any

from ..viz._style import TEXT
from ._columns import COLUMNS
from ._grades import GRADES, grade

__all__ = ["html_table"]

BELOW_NAME = ("op", "shape", "scale")  # no columns of their own: a page of a book is narrow
NO_BAR = 50.0  # dB from which on an error is too small for a bar, which is full at 0 dB
BARS = ("isolated_sqnr_db", "accumulated_sqnr_db")
KEY = "The longer a bar, the larger the error: " + ", ".join(
    f"{each.name} from {each.least:.0f} dB on" if each.least > 0 else f"{each.name} below"
    for each in GRADES
)


def html_table(rows: Iterable[dict[str, Any]], title: str, prefix: str) -> str:
    """Return a table; the finding of a row is a link to ``f"#{prefix}{position}"``.

    Its colours and its lines show on light and on dark pages.
    """
    head = "".join(
        f'<th style="text-align: {_side(right)}">{html.escape(heading)}</th>'
        for heading, key, _, right in COLUMNS
        if key not in BELOW_NAME
    )
    body = "".join(f"<tr>{_cells(row, prefix)}</tr>" for row in rows)
    return (
        f'<div style="overflow-x: auto"><table class="table dataframe">'
        '<caption style="text-align: left; caption-side: top">'
        f"{html.escape(title)}<br><small>{html.escape(KEY)}.</small></caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(row: dict[str, Any], prefix: str) -> str:
    cells = []
    texts = {key: html.escape(text(row[key])) for _, key, text, _ in COLUMNS}
    for _, key, _, right in COLUMNS:
        if key in BELOW_NAME:
            continue
        shown = texts[key]
        if key == "layer":
            scale = f"scale {texts['scale']}" if texts["scale"] else ""
            below = (text for text in (texts["op"], texts["shape"], scale) if text)
            shown += f"<br><small>{' · '.join(below)}</small>"
        if key in BARS:
            shown = _bar(row[key], shown)
        if key == "finding":
            shown = f'<a href="#{html.escape(prefix)}{row["position"]}">{shown}</a>'
        wrap = "overflow-wrap: anywhere; min-width: 12em" if key == "layer" else ""
        cells.append(f'<td style="text-align: {_side(right)}; {wrap}">{shown}</td>')
    return "".join(cells)


def _bar(sqnr_db: float, text: str) -> str:
    """Return a number behind a bar that is as long as the error is large."""
    each = grade(sqnr_db)
    share = 0.0 if math.isnan(sqnr_db) else 1 - max(0.0, min(1.0, sqnr_db / NO_BAR))
    bar = (
        f'<span style="width: {3 * share:.1f}em; height: 8px; box-sizing: border-box; '
        f'background: {each.fill}; border: 1px solid {TEXT}"></span>'
        if share > 0
        else ""
    )
    line = "display: flex; justify-content: flex-end; align-items: center; gap: 6px"
    return f'<div title="{each.name}" style="{line}; min-width: 6em">{bar}{text}</div>'


def _side(right: bool) -> str:
    return "right" if right else "left"
