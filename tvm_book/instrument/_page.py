"""Rows of two scripts as HTML: a table that needs no program, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from ._rows import Cell, Row

__all__ = ["fragment", "page"]

# Colours are translucent, so that they suit any background. The selectors are this strong because
# those of notebooks and of the book's theme, which draw stripes into every table, are so too.
_STYLE = """
.tvm-diff { overflow-x: auto; margin: .5em 0; }
TABLE { table-layout: fixed; width: 100%; min-width: 44rem; margin: 0; border-collapse: collapse;
  border: 1px solid LINE; background: none; color: inherit; font: .75rem/1.45 ui-monospace,
  SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
TABLE colgroup + colgroup { border-left: 1px solid LINE; }
TABLE col.tvm-diff-number { width: 3.4em; }
TABLE tr:nth-child(n) { background: none; border: 0; }
TABLE :is(th, td):nth-child(n) { border-width: 0; padding: 0 .5em; max-width: none; color: inherit;
  text-align: left; vertical-align: top; overflow-wrap: anywhere; }
TABLE thead th:nth-child(n) { padding: .3em .5em; font-weight: bold;
  border-bottom: 1px solid LINE; }
TABLE tbody th:nth-child(n) { padding: 0 .2em; font-weight: normal; text-align: right;
  white-space: pre; user-select: none; }
TABLE td:nth-child(n) { --hang: calc(var(--tvm-diff-blanks, 0) * .5ch + 2ch);
  padding-left: calc(.5em + var(--hang)); text-indent: calc(-1 * var(--hang)); }
TABLE pre:nth-child(n) { margin: 0; padding: 0; border: 0; background: none; color: inherit;
  font: inherit; white-space: pre-wrap; word-break: normal; overflow: visible;
  overflow-wrap: anywhere; }
TABLE .tvm-diff-fold:nth-child(n) { text-align: center; user-select: none;
  background: rgb(128 128 128 / 14%); }
TABLE .tvm-diff-none:nth-child(n) { background: rgb(128 128 128 / 8%); }
TABLE .tvm-diff-old:nth-child(n) { background: rgb(248 81 73 / 15%); }
TABLE .tvm-diff-new:nth-child(n) { background: rgb(46 160 67 / 17%); }
TABLE :is(del, ins) { color: inherit; font-weight: bold; text-decoration: none; }
TABLE del { background: rgb(248 81 73 / 38%); }
TABLE ins { background: rgb(46 160 67 / 42%); }
TABLE .tvm-diff-indent { font-size: 50%; }
""".replace("TABLE", ".tvm-diff.tvm-diff table.dataframe.tvm-diff-table").replace(
    "LINE", "rgb(128 128 128 / 40%)"
)
_SIGNS = {
    "": ("", "", "\N{NO-BREAK SPACE}"),
    "-": ("tvm-diff-old", "del", "−"),
    "+": ("tvm-diff-new", "ins", "+"),
}


def fragment(rows: Iterable[Row | int], names: tuple[str, str], note: str) -> str:
    """Return the HTML of the rows: a table with its style, to be put into any page.

    A number instead of a row stands for that many equal lines that are left out.
    """
    heads = "".join(
        f'<th scope="colgroup" colspan="2">{escape(name, quote=False)}</th>' for name in names
    )
    columns = '<colgroup><col class="tvm-diff-number"><col></colgroup>' * 2
    body = "\n".join([*([_across(note)] if note else []), *map(_row, rows)])
    label = escape(f"{names[0]} and {names[1]}, side by side")
    return (
        # A region that scrolls has to be reachable without a mouse.
        f'<div class="tvm-diff" role="region" aria-label="{label}" tabindex="0">\n'
        f"<style>{_STYLE}</style>\n"
        f'<table class="dataframe tvm-diff-table">{columns}\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def page(title: str, body: str) -> str:
    """Return a whole HTML document around a fragment; it follows the reader's light or dark."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title, quote=False)}</title></head>\n<body>\n{body}\n</body></html>\n"
    )


def _row(row: Row | int) -> str:
    if isinstance(row, int):
        return _across(f"… {row} equal lines")
    signs = ("", "") if row.equal else ("-", "+")
    return f"<tr>{_half(row.left, signs[0])}{_half(row.right, signs[1])}</tr>"


def _across(text: str) -> str:
    return f'<tr><td colspan="4" class="tvm-diff-fold">{escape(text, quote=False)}</td></tr>'


def _half(cell: Cell | None, sign: str) -> str:
    """Return a line's number and its text, each in a cell."""
    if cell is None:
        return '<td colspan="2" class="tvm-diff-none"></td>'
    style, tag, shown = _SIGNS[sign]
    attribute = f' class="{style}"' if style else ""
    code = "".join(_piece(text, tag if changed else "") for text, changed in cell.pieces)
    blanks = len(code) - len(code.lstrip(" "))
    if blanks:
        # Half a page is narrow: blanks at the start are shown half as wide.
        code = f'<span class="tvm-diff-indent">{code[:blanks]}</span>{code[blanks:]}'
    number = f'<th scope="row"{attribute}>{cell.number}\N{NO-BREAK SPACE}{shown}</th>'
    return f'{number}<td{attribute} style="--tvm-diff-blanks: {blanks}"><pre>{code}</pre></td>'


def _piece(text: str, tag: str) -> str:
    text = escape(text, quote=False)
    return f"<{tag}>{text}</{tag}>" if tag else text
