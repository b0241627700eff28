"""How many multiplications layers make, and the share of them that integers do."""

from __future__ import annotations

import math

from tvm import relax

from ._find_layers import find_layers, is_move
from ._graph import Graph, op_name
from ._layers import LAYERS
from .calibrate._grid import SIMULATED

__all__ = ["integer_share", "operations"]


def operations(call: relax.Call) -> int:
    """Multiplications of one sample that a layer makes; 0 for what is no convolution or product."""
    name = op_name(call)
    if name not in LAYERS:
        return 0
    data, weight, result = ([int(extent) for extent in x.ty.shape] for x in (*call.args, call))
    samples = result[0] if len(result) > 1 else 1
    if name == "relax.matmul":
        return math.prod(result) * weight[max(len(weight) - 2, 0)] // samples
    each = data if name.endswith("_transpose") else result
    return math.prod(each) * math.prod(weight[1:]) // samples


def integer_share(graph: Graph) -> float:
    """Share of an annotated model's multiplications that layers of it do in integers."""
    counts = {var: operations(graph.bindings[var]) for var in graph.post_order()}
    rounded = (layer.var for layer in find_layers(graph) if _is_integer(graph, layer.var))
    return sum(counts[var] for var in rounded) / max(sum(counts.values()), 1)


def _is_integer(graph: Graph, var: relax.Var) -> bool:
    """Whether a layer's second operand, its weight or another activation, is rounded.

    The first one then is, too; perhaps before a function that runs on integers.
    """
    if not operations(graph.bindings[var]):
        return False
    source = graph.behind(graph.bindings[var].args[1], is_move)
    return op_name(graph.bindings.get(source)) == SIMULATED
