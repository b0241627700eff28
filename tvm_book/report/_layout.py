"""Where the boxes and lines of a network go: in ranks from top to bottom, folded into columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ._ranks import GAP, LANE, Place, ranked

__all__ = ["Layout", "Line", "fold"]

STEP = 50  # from one rank to the next, in pixels
HEIGHT = 32  # of a box
MARGIN = 14
WANTED = 0.8  # width by height: pages are higher than wide
FEW = 8  # ranks in a column: fewer are not worth a fold
EASY = 2  # lines from one column to the next that the eye can follow
TANGLE = 0.5  # what each further one weighs, beside the logarithm of a shape that is off

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """An edge: the points it passes, each straight below the last or a column further."""

    source: int
    target: int
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Layout:
    """Centres of boxes by number, and lines between them, in pixels from the upper left corner."""

    boxes: tuple[Point, ...]
    lines: tuple[Line, ...]
    width: float
    height: float


def fold(
    count: int, edges: Sequence[tuple[int, int]], width: float, smallest: float = 0.0
) -> Layout:
    """Lay a network out in as many columns as make it about as wide as it is high.

    Parameters
    ----------
    count, edges
        As of `ranked`.
    width : float
        Of a box.
    smallest : float, optional
        Width of the whole, at least.

    Returns
    -------
    Layout
    """
    boxes, paths = ranked(count, edges, width + GAP)
    ranks = max((rank for _, rank in boxes), default=-1) + 1
    best, distance = None, math.inf
    for columns in range(1, max(1, ranks // FEW) + 1):
        cuts, crossing = _cuts(ranks, paths, columns)
        layout = _placed(boxes, paths, edges, cuts, width)
        away = abs(math.log(layout.width / layout.height / WANTED))
        away += TANGLE * sum(max(0, lines - EASY) for lines in crossing)
        if away < distance:
            best, distance = layout, away
    if best.width >= smallest:
        return best
    return Layout(*_moved(best, (smallest - best.width) / 2), smallest, best.height)


def _cuts(ranks: int, paths: list[list[Place]], columns: int) -> tuple[list[int], list[int]]:
    """Return the ranks at which columns begin, and how many lines cross there.

    Parts are nearly even, so that there are few such lines.
    """
    crossing = [0] * (ranks + 1)
    for path in paths:
        for rank in range(path[0][1] + 1, path[-1][1] + 1):
            crossing[rank] += 1
    cuts = [0]
    for number in range(1, columns):
        ideal, reach = number * ranks / columns, 0.15 * ranks / columns
        near = range(math.ceil(ideal - reach), math.floor(ideal + reach) + 1) or [round(ideal)]
        cuts.append(min(near, key=lambda rank: (crossing[rank], abs(rank - ideal))))
    return [*cuts, ranks], [crossing[cut] for cut in cuts[1:]]


def _placed(
    boxes: list[Place],
    paths: list[list[Place]],
    edges: Sequence[tuple[int, int]],
    cuts: list[int],
    width: float,
) -> Layout:
    """Move the ranks between two cuts into a column of their own."""
    columns = _Columns(boxes, paths, cuts, width)
    lines = tuple(
        Line(source, target, columns.path(number, path))
        for number, ((source, target), path) in enumerate(zip(edges, paths, strict=True))
    )
    points = tuple(columns.point(*box) for box in boxes)
    return Layout(points, lines, columns.right, columns.bottom)


class _Columns:
    """Where the columns between cuts stand, with gutters between them for lines that go on."""

    def __init__(self, boxes: list[Place], paths: list[list[Place]], cuts: list[int], width: float):
        self._cuts = cuts
        spans = list(zip(cuts, cuts[1:], strict=False))
        self._column = [c for c, span in enumerate(spans) for _ in range(*span)]
        self._lanes = [self._leaving(paths, c) for c in range(len(spans))]
        most = max(map(len, self._lanes))
        turn = MARGIN + LANE * most if most else 0  # above and below all columns
        self._top = MARGIN + HEIGHT / 2 + turn
        rows = max(end - begin for begin, end in spans)
        self.bottom = self._top + (rows - 1) * STEP + HEIGHT / 2 + MARGIN + turn
        self._shifts, self._gutters, self.right = [], [], 0.0
        places = [place for path in paths for place in path] + boxes
        for c, lanes in enumerate(self._lanes):
            inside = [x for x, rank in places if self._column[rank] == c]
            self._shifts.append(self.right + MARGIN + width / 2 - min(inside))
            self._gutters.append(self._shifts[c] + max(inside) + width / 2 + MARGIN)
            self.right = self._gutters[c] + LANE * len(lanes)

    def _leaving(self, paths: list[list[Place]], column: int) -> list[int]:
        """Return the lines that go on in the next column; the rightmost has the shortest way."""
        steps = [
            (x, number)
            for number, path in enumerate(paths)
            for (x, rank), (_, below) in zip(path, path[1:], strict=False)
            if self._column[rank] == column < self._column[below]
        ]
        return [number for _, number in sorted(steps, reverse=True)]

    def point(self, x: float, rank: int) -> Point:
        """Return where a place is, in pixels."""
        column = self._column[rank]
        return x + self._shifts[column], self._top + (rank - self._cuts[column]) * STEP

    def path(self, number: int, path: list[Place]) -> tuple[Point, ...]:
        """Return the points of a line, with corners where it changes the column."""
        points = [self.point(*path[0])]
        for (_, rank), place in zip(path, path[1:], strict=False):
            column, point = self._column[rank], self.point(*place)
            if column != self._column[place[1]]:
                points += self._around(number, column, points[-1][0], point[0])
            points.append(point)
        return tuple(points)

    def _around(self, number: int, column: int, x: float, to_x: float) -> list[Point]:
        lane = self._lanes[column].index(number)
        inner = len(self._lanes[column]) - 1 - lane
        rows = self._cuts[column + 1] - self._cuts[column]
        low = self._top + (rows - 1) * STEP + HEIGHT / 2 + MARGIN + LANE * lane
        high = self._top - HEIGHT / 2 - MARGIN - LANE * inner
        gutter = self._gutters[column] + LANE * lane
        return [(x, low), (gutter, low), (gutter, high), (to_x, high)]


def _moved(layout: Layout, by: float) -> tuple[tuple[Point, ...], tuple[Line, ...]]:
    boxes = tuple((x + by, y) for x, y in layout.boxes)
    lines = tuple(
        Line(line.source, line.target, tuple((x + by, y) for x, y in line.points))
        for line in layout.lines
    )
    return boxes, lines
