"""Cut a module at its operators whose rounding is left open, so that the rest is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import IRModule, relax

from tvm_book.quantize._emitter import Emitter
from tvm_book.quantize._graph import Graph, map_operands, op_name, operands
from tvm_book.testing import integer_reference
from tvm_book.testing._reference import APPROXIMATE

__all__ = ["cut"]

# Compiled code adds floats in the order, and with the fused instructions, that are fastest.
_SUMS = {
    *(f"relax.nn.conv{n}d{kind}" for n in (1, 2) for kind in ("", "_transpose")),
    *("relax.matmul", "relax.sum", "relax.mean"),
    *(f"relax.nn.{kind}avg_pool{n}d" for n in (1, 2) for kind in ("", "adaptive_", "global_")),
}
NEAREST = "nearest_neighbor"


def is_open(expr: Any) -> bool:
    """Whether compiled code may round the result otherwise than the reference."""
    name = op_name(expr)
    if name not in APPROXIMATE | _SUMS or "float" not in str(expr.ty.dtype):
        return False
    return name != "relax.image.resize2d" or str(expr.attrs.method) != NEAREST


def cut(mod: IRModule, batches: list[np.ndarray]) -> tuple[IRModule, list[list[np.ndarray]]]:
    """Return a module without open operators, and its inputs for each batch of data.

    What they computed, according to the reference, are further inputs; what they read are further
    outputs. All other operators stay as they are.
    """
    graph = Graph(mod["main"])
    order = graph.post_order()
    opened = [var for var in order if is_open(graph.bindings[var])]
    read = [leaf for var in opened for leaf in operands(graph.bindings[var])]
    leaves = dict.fromkeys([*operands(graph.output), *read])
    made = [*graph.params, *opened]
    results = [leaf for leaf in leaves if isinstance(leaf, relax.Var) and leaf not in made]

    watched = _function(graph, graph.params, order, [*opened, graph.params[0]])
    inputs = [[data, *integer_reference(watched, data)[:-1]] for data in batches]
    rest = [var for var in order if var not in opened]
    return _function(graph, made, rest, results), inputs


def _function(graph: Graph, params: list, bound: list, results: list) -> IRModule:
    emitter = Emitter()
    fresh = {var: relax.Var(f"x{i}", var.ty) for i, var in enumerate(params)}
    values: dict[relax.Expr, relax.Expr] = dict(fresh)
    for var in bound:
        expr = map_operands(graph.bindings[var], lambda leaf: values.get(leaf, leaf))
        values[var] = emitter.emit(expr)
    output = relax.Tuple([values[var] for var in results])
    function = emitter.function(list(fresh.values()), output, {"global_symbol": "main"})
    return IRModule({"main": relax.utils.copy_with_new_vars(function)})
