"""Which lines a drawn network has, and to which inputs and outputs."""

from __future__ import annotations

from ..quantize._layer_error import LayerErrors
from ._ranks import as_graph

__all__ = ["edges_of", "order_of"]

IMPLIED = 0.25  # of the lines: where most layers read all before them, a picture shows nothing
NEAR = 3  # ranks; an input that is read further down is drawn there once more


def edges_of(errors: LayerErrors) -> tuple[list[str], list[tuple[int, int]], int]:
    """Return inputs and outputs, numbered after the layers; lines; how many are left out."""
    count = len(errors.layers)
    read = [(source, target) for target, x in enumerate(errors.layers) for source in x.reads]
    edges = _drawable(count, list(dict.fromkeys(read)))
    hidden = len(set(read)) - len(edges)
    pills: list[str] = []

    def pill(name: str) -> int:
        pills.append(name)
        return count + len(pills) - 1

    ranks = [0] * count
    for source, target in edges:
        ranks[target] = max(ranks[target], ranks[source] + 1 if source >= 0 else 0)
    top = pill("input") if any(source < 0 for source, _ in edges) else -1
    lines = []
    for source, target in edges:
        if source < 0:
            source = top if ranks[target] <= NEAR else pill("input")
        lines.append((source, target))
    lines += [(position, pill("output")) for position in errors.outputs if position >= 0]
    return pills, lines, hidden


def _drawable(count: int, edges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Leave out lines that follow from others, if they are so many that nobody could follow."""
    graph = as_graph(count + 1, [(source % (count + 1), target) for source, target in edges])
    kept = []
    for source, target in edges:
        others = set(graph.predecessors(target)) - {source % (count + 1)}
        if not others & set(graph.subcomponent(source % (count + 1), mode="out")):
            kept.append((source, target))
    return kept if len(edges) - len(kept) > IMPLIED * len(edges) else edges


def order_of(count: int, edges: list[tuple[int, int]]) -> dict[int, int]:
    """Return a number for each box, larger than those of what it reads; inputs come first."""
    targets = {target for _, target in edges}
    sources = {source for source, _ in edges}
    first = [n for n in range(count) if n in sources and n not in targets]
    last = [n for n in range(count) if n in targets and n not in sources]
    rest = [n for n in range(count) if n not in {*first, *last}]
    return {old: new for new, old in enumerate([*first, *rest, *last])}
