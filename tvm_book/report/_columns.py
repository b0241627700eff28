"""The columns of a report's table, for the terminal and for HTML; in which order its rows stand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .._text import shape_text
from ._grades import sqnr_text

__all__ = ["COLUMNS", "LESS_NEEDED", "ordered"]


def share_text(value: float) -> str:
    """Write a share in percent, so that little is told from nothing.

    Examples
    --------
    >>> [share_text(value) for value in (0.0, 0.00004, 0.034, 0.5, 1.0, float("nan"))]
    ['0%', '<0.1%', '3.4%', '50%', '100%', '']
    """
    if math.isnan(value):
        return ""
    if 0 < value < 0.001:
        return "<0.1%"
    return f"{value:.1%}" if 0 < value < 0.1 else f"{value:.0%}"


def scale_text(value: float) -> str:
    """Write the step of a grid; what is unknown is blank."""
    return "" if math.isnan(value) else f"{value:.3g}"


# Heading, key of the row, text of the value, whether it stands to the right.
COLUMNS: tuple[tuple[str, str, Callable[[Any], str], bool], ...] = (
    ("#", "position", str, True),
    ("layer", "layer", str, False),
    ("op", "op", str, False),
    ("shape", "shape", shape_text, False),
    ("scale", "scale", scale_text, True),
    ("isolated dB", "isolated_sqnr_db", sqnr_text, True),
    ("accumulated dB", "accumulated_sqnr_db", sqnr_text, True),
    ("clipped", "saturated", share_text, True),
    ("steps used", "used", share_text, True),
    ("of int32", "accumulator", share_text, True),
    ("finding", "finding", str, False),
)

# Left out of a narrow terminal, one after the other.
LESS_NEEDED = ("scale", "shape", "op", "accumulator", "used", "saturated")

LARGE_IS_BAD = ("saturated", "accumulator", "operations")
SORTABLE = (
    "isolated_sqnr_db",
    "isolated_cosine",
    "accumulated_sqnr_db",
    "accumulated_cosine",
    "used",
    *LARGE_IS_BAD,
)


def ordered(
    rows: list[dict[str, Any]], sort: str | None, limit: int | None
) -> list[dict[str, Any]]:
    """Return the first rows, the worst first if a column to sort by is given; NaN comes last.

    Raises
    ------
    ValueError
        There is no such column, or ``limit`` is negative.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit is {limit}; give the number of rows, or None for all")
    if sort is None:
        return rows[:limit]
    if sort not in SORTABLE:
        raise ValueError(f"sort is {sort!r}; choose from {', '.join(SORTABLE)}, or None")
    sign = -1 if sort in LARGE_IS_BAD else 1

    def key(row: dict[str, Any]) -> tuple[bool, float]:
        return math.isnan(row[sort]), sign * row[sort]

    return sorted(rows, key=key)[:limit]
