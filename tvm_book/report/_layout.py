"""Where the boxes and lines of a network go: in ranks from top to bottom, folded into columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import igraph

__all__ = ["Layout", "Line", "as_graph", "fold", "ranked"]

GAP = 16  # between boxes side by side, in pixels
STEP = 50  # from one rank to the next
HEIGHT = 32  # of a box
LANE = 7  # between lines that go from one column to the next
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


def as_graph(count: int, edges: Sequence[tuple[int, int]]) -> igraph.Graph:
    """Return a directed graph of igraph, or say how to install it."""
    try:
        import igraph
    except ImportError as error:
        hint = 'drawing a network needs igraph: pip install "tvm-book[report]"'
        raise ImportError(hint) from error
    return igraph.Graph(count, edges, directed=True)


def ranked(
    count: int, edges: Sequence[tuple[int, int]], gap: float
) -> tuple[list[tuple[float, int]], list[list[tuple[float, int]]]]:
    """Give each box a rank below all that it reads, and a place in its rank.

    Parameters
    ----------
    count : int
        Of boxes; each edge goes from a lower number to a higher one.
    edges : sequence of (int, int)
    gap : float
        Between the centres of neighbours, at least.

    Returns
    -------
    boxes : list of (float, int)
        Place and rank of each box.
    paths : list of list of (float, int)
        For each edge: places in the ranks from its source to its target.

    Raises
    ------
    ImportError
        igraph is not installed.
    """
    ranks = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        ranks[target] = max(ranks[target], ranks[source] + 1)
    for number in set(range(count)) - {target for _, target in edges}:  # right above its reader
        below = [ranks[target] for source, target in edges if source == number]
        ranks[number] = min(below, default=1) - 1
    places, between = [0.0] * count, [[] for _ in edges]
    right = 0.0
    for members in as_graph(count, edges).connected_components("weak"):
        # one by one: for several at once, igraph 1.0 numbers the lines of each from 0
        index = {number: place for place, number in enumerate(members)}
        inside = [number for number, edge in enumerate(edges) if edge[0] in index]
        lines = [(index[edges[number][0]], index[edges[number][1]]) for number in inside]
        layers = [ranks[number] for number in members]
        placed = as_graph(len(members), lines).layout_sugiyama(layers=layers, hgap=gap, vgap=1)
        points = [*placed, *(point for points in placed.edge_routing for point in points)]
        shift = right - min(x for x, _ in points)
        for number, (x, _) in zip(members, placed, strict=True):
            places[number] = x + shift
        for number, routed in zip(inside, placed.edge_routing, strict=True):
            between[number] = [x + shift for x, _ in routed]
        right = shift + max(x for x, _ in points) + gap
    boxes = list(zip(places, ranks, strict=True))
    passed = [
        (x, ranks[edges[number][0]] + 1 + step)
        for number, routed in enumerate(between)
        for step, x in enumerate(routed)
    ]
    spread = _spread([*boxes, *passed], count, gap)
    boxes, rest = spread[:count], iter(spread[count:])
    paths = []
    for (source, target), routed in zip(edges, between, strict=True):
        paths.append([boxes[source], *(next(rest) for _ in routed), boxes[target]])
    return boxes, paths


def _spread(points: list[tuple[float, int]], boxes: int, gap: float) -> list[tuple[float, int]]:
    """Move apart what stands too near in its rank: igraph takes its gap for a mean."""
    spread = list(points)
    for rank in {rank for _, rank in points}:
        row = sorted(
            (number for number, point in enumerate(points) if point[1] == rank),
            key=lambda number: points[number],
        )
        places = [points[number][0] for number in row]
        sizes = [gap if number < boxes else LANE for number in row]
        apart = [(a + b) / 2 for a, b in zip(sizes, sizes[1:], strict=False)]
        right, left = places.copy(), places.copy()
        for i, need in enumerate(apart):
            right[i + 1] = max(right[i + 1], right[i] + need)
        for i, need in reversed(list(enumerate(apart))):
            left[i] = min(left[i], left[i + 1] - need)
        # each of the two keeps its distances, and so does what is halfway between
        for number, a, b in zip(row, left, right, strict=True):
            spread[number] = ((a + b) / 2, rank)
    return spread


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


def _cuts(
    ranks: int, paths: list[list[tuple[float, int]]], columns: int
) -> tuple[list[int], list[int]]:
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


def _placed(boxes, paths, edges, cuts, width) -> Layout:
    """Move the ranks between two cuts into a column of their own."""
    column = [number for number in range(len(cuts) - 1) for _ in range(*cuts[number : number + 2])]
    points = [point for path in paths for point in path] + boxes
    spans = [[x for x, rank in points if column[rank] == c] for c in range(len(cuts) - 1)]
    steps = [
        (x, rank, number)
        for number, path in enumerate(paths)
        for (x, rank), (_, below) in zip(path, path[1:], strict=False)
        if column[rank] != column[below]
    ]
    lanes = {}  # of the lines that leave a column, the rightmost has the shortest way
    for c in range(len(cuts) - 1):
        leaving = sorted((step for step in steps if column[step[1]] == c), reverse=True)
        lanes |= {(number, c): lane for lane, (_, _, number) in enumerate(leaving)}
    most = 1 + max(lanes.values(), default=-1)
    top = MARGIN + HEIGHT / 2 + (LANE * most + MARGIN if most else 0)
    shifts, right = [], float(MARGIN)
    for c, span in enumerate(spans):
        shifts.append(right + width / 2 - min(span))
        right += max(span) - min(span) + width
        leaving = sum(1 for _, c_from in lanes if c_from == c)
        right += 2 * MARGIN + LANE * leaving if c + 1 < len(spans) else MARGIN

    def place(x: float, rank: int) -> Point:
        return x + shifts[column[rank]], top + (rank - cuts[column[rank]]) * STEP

    def between(number: int, above: Point, below: Point, c: int) -> list[Point]:
        lane, count = lanes[number, c], sum(1 for _, c_from in lanes if c_from == c)
        gutter = shifts[c] + max(spans[c]) + width / 2 + MARGIN + LANE * lane
        end = top + (cuts[c + 1] - cuts[c] - 1) * STEP + HEIGHT / 2 + MARGIN + LANE * lane
        start = top - HEIGHT / 2 - MARGIN - LANE * (count - 1 - lane)
        return [(above[0], end), (gutter, end), (gutter, start), (below[0], start)]

    lines = []
    for number, ((source, target), path) in enumerate(zip(edges, paths, strict=True)):
        passed = [place(*path[0])]
        for (_, rank), (x, below) in zip(path, path[1:], strict=False):
            here = place(x, below)
            if column[rank] != column[below]:
                passed += between(number, passed[-1], here, column[rank])
            passed.append(here)
        lines.append(Line(source, target, tuple(passed)))
    rows = max(end - begin for begin, end in zip(cuts, cuts[1:], strict=False))
    bottom = top + (rows - 1) * STEP + HEIGHT / 2 + MARGIN + (LANE * most + MARGIN if most else 0)
    return Layout(tuple(place(*box) for box in boxes), tuple(lines), right, bottom)


def _moved(layout: Layout, by: float) -> tuple[tuple[Point, ...], tuple[Line, ...]]:
    boxes = tuple((x + by, y) for x, y in layout.boxes)
    lines = tuple(
        Line(line.source, line.target, tuple((x + by, y) for x, y in line.points))
        for line in layout.lines
    )
    return boxes, lines
