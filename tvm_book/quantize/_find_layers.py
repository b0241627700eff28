"""Which operators of an annotated graph are quantized layers, and what they are called."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tvm import relax

from ._graph import Graph, module_path, op_name, operands
from ._layers import LAYERS
from .calibrate._modes import MARKERS, SIMULATED
from .rules.affine.shape import MOVES

__all__ = ["Layer", "Reach", "find_layers", "is_move"]

INPUT = -1  # stands among layers for an input of the model


@dataclass(frozen=True)
class Layer:
    """An operator that reads rounded tensors.

    Attributes
    ----------
    var : tvm.relax.Var
    roundings : tuple of tvm.relax.Var
        The ``simulated_quantize`` that it reads, left to right.
    name, selector, op, path : str
        As of a `LayerError`.
    """

    var: relax.Var
    roundings: tuple[relax.Var, ...]
    name: str
    selector: str
    op: str
    path: str


def find_layers(graph: Graph) -> list[Layer]:
    """List the layers of an annotated graph in visiting order.

    A layer that has weights is called by its module's path, if no other such layer is in that
    module; everything else by its operator and number, such as ``"relax.add@2"``.
    """
    found = []
    counts: Counter[str] = Counter()
    for var in graph.post_order():
        name = op_name(graph.bindings[var])
        number, counts[name] = counts[name], counts[name] + 1
        roundings = _roundings(graph, var)
        if roundings:
            found.append((var, roundings, f"{name}@{number}"))
    heavy = [module_path(v) for v, *_ in found if op_name(graph.bindings[v]) in LAYERS]
    layers = []
    for var, roundings, label in found:
        path, op = module_path(var), op_name(graph.bindings[var])
        is_alone = op in LAYERS and path and _inside(path, heavy) == 1
        name = path if is_alone else label
        layers.append(Layer(var, roundings, name, name, op.split(".")[-1], path))
    return layers


def _inside(path: str, paths: list[str]) -> int:
    """How many layers a selector of ``path`` would mean."""
    return sum(other == path or other.startswith(f"{path}.") for other in paths)


def _roundings(graph: Graph, var: relax.Var) -> tuple[relax.Var, ...]:
    """Return the roundings that an operator reads, perhaps moved."""
    if op_name(graph.bindings[var]) == SIMULATED or is_move(graph.bindings[var]):
        return ()
    sources = (graph.behind(leaf, is_move) for leaf in operands(graph.bindings[var]))
    return tuple(leaf for leaf in sources if op_name(graph.bindings.get(leaf)) == SIMULATED)


def is_move(expr: relax.Expr) -> bool:
    """Whether an operator hands on elements of its first operand as they are: it rounds nothing."""
    name = op_name(expr)
    return name in _MOVES or name.startswith(MARKERS)


_MOVES = {
    *MOVES,
    "relax.permute_dims",
    "relax.nn.pad",
    *(f"relax.nn.max_pool{n}d" for n in (1, 2, 3)),
    "relax.max",
    "relax.min",
}


class Reach:
    """Which layers' results reach a value without another layer between.

    Parameters
    ----------
    graph : Graph
    layers : sequence of Layer

    Attributes
    ----------
    outputs : tuple of int
        Numbers of the layers whose results reach what ``main`` returns, -1 for inputs.
    """

    def __init__(self, graph: Graph, layers: list[Layer]):
        numbers = {layer.var: number for number, layer in enumerate(layers)}
        self._found: dict[relax.Expr, frozenset[int]] = {
            param: frozenset({INPUT}) for param in graph.params
        }
        self._reads: dict[relax.Expr, tuple[int, ...]] = {}
        for var in graph.post_order():
            reached = self._union(graph.bindings[var])
            self._reads[var] = tuple(sorted(reached))
            self._found[var] = frozenset({numbers[var]}) if var in numbers else reached
        self.outputs = tuple(sorted(self._union(graph.output)))

    def reads(self, layer: Layer) -> tuple[int, ...]:
        """Numbers of the layers that a layer reads, -1 for inputs."""
        return self._reads[layer.var]

    def _union(self, expr: relax.Expr) -> frozenset[int]:
        parts = (self._found.get(leaf, frozenset()) for leaf in operands(expr))
        return frozenset().union(*parts)
