"""Which line of one script stands beside which line of another."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

__all__ = ["Cell", "Row", "fold", "side_by_side_rows"]

_WORD = re.compile(r"-?\w+(?:\.\w+)*|\s+|.")
_CALLEE = re.compile(r"[\w.]+(?=\()")


class Cell(NamedTuple):
    """A line of a script: its number, and its text cut into pieces ``(text, changed)``."""

    number: int
    pieces: tuple[tuple[str, bool], ...]


class Row(NamedTuple):
    """A line of each script, or of one of them, and whether the two are equal."""

    left: Cell | None
    right: Cell | None
    equal: bool


def side_by_side_rows(before: str, after: str) -> list[Row]:
    """Align two texts line by line.

    Lines that differ stand beside each other when both call the same function, and the words that
    differ are marked. The lines between such pairs fill the rows in order, without marks.
    """
    left, right = before.splitlines(), after.splitlines()
    rows = []
    for equal, a, b in _aligned(left, right):
        if equal:
            rows += [Row(_cell(i, left), _cell(j, right), True) for i, j in zip(a, b, strict=True)]
            continue
        keys = ([_key(left[i]) for i in a], [_key(right[j]) for j in b])
        for paired, c, d in _aligned(*keys):
            if paired:
                rows += [_changed(a[i], b[j], left, right) for i, j in zip(c, d, strict=True)]
            else:
                rows += _beside([_cell(a[i], left) for i in c], [_cell(b[j], right) for j in d])
    return rows


def fold(rows: Sequence[Row], context: int | None) -> Iterator[Row | int]:
    """Replace equal rows far from a change by their number; ``context=None`` keeps all.

    A single row stays: its number would take as much room.
    """
    changes = [i for i, row in enumerate(rows) if not row.equal]
    reach = min(context or 0, len(rows))
    near = {j for i in changes for j in range(i - reach, i + reach + 1)}
    start = 0
    while start < len(rows):
        end = start
        while context is not None and end < len(rows) and end not in near:
            end += 1
        if end - start > 1:
            yield end - start
            start = end
        else:
            yield rows[start]
            start += 1


def _aligned(
    left: Sequence[Hashable], right: Sequence[Hashable]
) -> Iterator[tuple[bool, range, range]]:
    # By default, difflib ignores what occurs often in more than 200 lines.
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for tag, a, a_end, b, b_end in matcher.get_opcodes():
        yield tag == "equal", range(a, a_end), range(b, b_end)


def _key(line: str) -> str:
    """Return the function that a line calls, else its first word."""
    first = line.split(maxsplit=1)[:1]
    called = _CALLEE.search(line.split(" = ", 1)[-1])
    return called[0] if called and first != ["def"] else "".join(first)


def _cell(index: int, lines: Sequence[str]) -> Cell:
    return Cell(index + 1, ((lines[index], False),))


def _beside(left: list[Cell], right: list[Cell]) -> list[Row]:
    length = max(len(left), len(right))
    columns = (cells + [None] * (length - len(cells)) for cells in (left, right))
    return [Row(a, b, False) for a, b in zip(*columns, strict=True)]


def _changed(i: int, j: int, left: Sequence[str], right: Sequence[str]) -> Row:
    words = (_WORD.findall(left[i]), _WORD.findall(right[j]))
    pieces: tuple[list, list] = ([], [])
    for equal, *spans in _aligned(*words):
        for side, span in enumerate(spans):
            if span:
                pieces[side].append(("".join(words[side][k] for k in span), not equal))
    return Row(Cell(i + 1, tuple(pieces[0])), Cell(j + 1, tuple(pieces[1])), False)
