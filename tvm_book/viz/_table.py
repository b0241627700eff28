"""Rows of results as a table that a notebook renders and a terminal prints."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = ["Table", "table"]

_BOOL = (bool, np.bool_)


def table(
    rows: Iterable[Mapping[str, Any]],
    columns: Mapping[str, str] | Iterable[str] | None = None,
    digits: int = 4,
) -> Table:
    """Make a table out of rows.

    A column of numbers stands to the right, and so does one of texts that all read as numbers.

    Parameters
    ----------
    rows : iterable of mappings
        One mapping from column to value per row. A value that a row lacks stays empty, and so does
        None; ``True`` and ``False`` become a tick and a dash.
    columns : mapping or iterable of str, optional
        Which columns to show, in this order; a mapping gives them headings. By default all, in the
        order in which the rows name them.
    digits : int
        Significant digits of numbers that are not whole.

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        If ``columns`` has one that is in no row.

    Examples
    --------
    >>> table([{"mode": "percentile", "SQNR": 31.41593}, {"mode": "max", "SQNR": 9}])
    mode        SQNR
    ----------  -----
    percentile  31.42
    max             9
    """
    rows = list(rows)
    known = list(dict.fromkeys(key for row in rows for key in row))
    if columns is None:
        columns = known
    if not isinstance(columns, Mapping):
        columns = {key: key for key in columns}
    if rows and (unknown := [key for key in columns if key not in known]):
        raise ValueError(f"no row has the column {unknown[0]!r}; there are {', '.join(known)}")
    return Table(
        list(columns.values()), [[row.get(key) for key in columns] for row in rows], digits
    )


class Table:
    """What `table` returns; the last expression of a cell shows it.

    Parameters
    ----------
    headings : list of str
    rows : list of list
        A value for each heading.
    digits : int
        Significant digits of numbers that are not whole.
    """

    def __init__(self, headings: list[str], rows: list[list[Any]], digits: int = 4):
        self.headings = headings
        self.rows = [[_text(value, digits) for value in row] for row in rows]
        columns = list(zip(*rows, strict=True)) or [()] * len(headings)
        self._numeric = [_is_numeric(column) for column in columns]

    def __repr__(self) -> str:
        lines = [self.headings, *self.rows]
        widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
        left, rule = [False] * len(widths), ["-" * width for width in widths]
        body = [_line(row, widths, self._numeric) for row in self.rows]
        return "\n".join([_line(self.headings, widths, left), _line(rule, widths, left), *body])

    def _repr_html_(self) -> str:
        head = "".join(self._cell("th", cell, i) for i, cell in enumerate(self.headings))
        body = "".join(
            f"<tr>{''.join(self._cell('td', cell, i) for i, cell in enumerate(row))}</tr>"
            for row in self.rows
        )
        parts = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        return f'<table class="table dataframe">{parts}</table>'

    def _cell(self, tag: str, text: str, column: int) -> str:
        align = "right" if self._numeric[column] else "left"
        text = html.escape(text).replace("\n", "<br>")
        return f'<{tag} style="text-align: {align}">{text}</{tag}>'


def _line(cells: list[str], widths: list[int], right: list[bool]) -> str:
    padded = []
    for cell, width, to_right in zip(cells, widths, right, strict=True):
        blanks = " " * (width - _width(cell))
        padded.append(blanks + cell if to_right else cell + blanks)
    return "  ".join(padded).rstrip()


def _width(text: str) -> int:
    # A Chinese character takes the place of two letters in a terminal.
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _is_numeric(values: Iterable[Any]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(map(_reads_as_number, present))


def _reads_as_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
        return True
    return isinstance(value, Real) and not isinstance(value, _BOOL)


def _text(value: Any, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, _BOOL):
        return "✓" if value else "–"
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{float(value):.{digits}g}"
    return str(value)
