"""Ranks: each box of a network below all that it reads, with a place beside the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import igraph

__all__ = ["GAP", "LANE", "Place", "as_graph", "ranked"]

GAP = 16  # between boxes side by side, in pixels
LANE = 7  # between lines side by side

Place = tuple[float, int]  # in a rank, and which


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
) -> tuple[list[Place], list[list[Place]]]:
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
    boxes : list of Place
        Place and rank of each box.
    paths : list of list of Place
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


def _spread(points: list[Place], boxes: int, gap: float) -> list[Place]:
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
