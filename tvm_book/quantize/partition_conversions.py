"""Split a realized ``main`` into quantize_inputs, quantized_main and dequantize_outputs.

For callers that hold integers already, or run the middle on another device. Relay's
``partition_conversions`` (``relay/quantize/_partition_conversions.py``).
"""

from __future__ import annotations

from collections.abc import Iterable

import tvm
from tvm import IRModule, relax
from tvm.ir import GenericConst

from ._emitter import Emitter
from ._graph import Graph, map_operands, op_name, operands
from .config import QConfig

__all__ = ["PartitionConversions"]

QUANTIZE, MIDDLE, DEQUANTIZE = "quantize_inputs", "quantized_main", "dequantize_outputs"

# What quantizing an input consists of, and what may therefore move into the prefix.
_CONVERSIONS = {
    "relax.add",
    "relax.astype",
    "relax.clip",
    "relax.multiply",
    "relax.quantize",
    "relax.right_shift",
    "relax.round_half_away",
}


def PartitionConversions(config: QConfig) -> tvm.transform.Pass:
    """Return the pass; ``main`` then calls the three functions in order.

    With ``partition_conversions="fully_integral"`` it raises ValueError if the middle function
    computes in float anywhere.
    """

    def transform(mod: IRModule, _context) -> IRModule:
        return _split(mod, config)

    return tvm.transform.module_pass(transform, opt_level=0, name="PartitionConversions")


def _split(mod: IRModule, config: QConfig) -> IRModule:
    graph = Graph(mod["main"])
    order = graph.post_order()
    integers = {config.dtype_input, config.dtype_weight, config.dtype_activation}
    prefix = _prefix(graph, order)
    suffix, boundary = _suffix(graph, order, prefix, integers)
    middle = [var for var in order if var not in prefix and var not in suffix]
    entering = _read_by(graph, middle, prefix | set(graph.params))
    entering += [var for var in boundary if var not in middle and var not in entering]
    if config.partition_conversions == "fully_integral":
        _refuse_floats(graph, middle, entering)

    leaving = boundary[0] if len(boundary) == 1 else relax.Tuple(boundary)
    module = relax.BlockBuilder()
    calls = [
        module.add_func(_part(graph, graph.params, prefix, relax.Tuple(entering)), QUANTIZE),
        module.add_func(_part(graph, entering, set(middle), leaving), MIDDLE),
        module.add_func(_part(graph, boundary, suffix, graph.output), DEQUANTIZE),
    ]
    module.add_func(_main(graph, calls, len(entering), len(boundary)), "main")
    new = module.get()
    for var, function in mod.functions.items():
        if var.name_hint != "main":
            new.update_func(var, function)
    return new


def _prefix(graph: Graph, order: list[relax.Var]) -> set[relax.Var]:
    """Conversions that depend on inputs and constants only."""
    inside: set[relax.Var] = set()
    for var in order:
        expr = graph.bindings[var]
        reads = [leaf for leaf in operands(expr) if not isinstance(leaf, GenericConst)]
        if op_name(expr) in _CONVERSIONS and all(x in inside or x in graph.params for x in reads):
            inside.add(var)
    return inside


def _suffix(
    graph: Graph, order: list[relax.Var], prefix: set[relax.Var], integers: set[str]
) -> tuple[set[relax.Var], list[relax.Var]]:
    """Float computations that only the result needs, and the values that they start from."""
    pending = [leaf for leaf in operands(graph.output) if isinstance(leaf, relax.Var)]
    suffix: set[relax.Var] = set()
    boundary: list[relax.Var] = []
    while pending:
        var = pending.pop(0)
        if var in suffix or var in boundary:
            continue
        if var in prefix or var in graph.params or str(var.ty.dtype) in integers:
            boundary.append(var)
            continue
        suffix.add(var)
        pending += [x for x in operands(graph.bindings[var]) if isinstance(x, relax.Var)]
    # A float value that the middle reads as well is computed there.
    for var in reversed(order):
        if var not in suffix and var not in prefix:
            shared = [x for x in operands(graph.bindings[var]) if x in suffix]
            boundary += shared
            suffix -= set(shared)
    read = _read_by(graph, [var for var in order if var in suffix], set(boundary))
    read += [leaf for leaf in operands(graph.output) if leaf in boundary and leaf not in read]
    return suffix, read


def _read_by(graph: Graph, readers: Iterable[relax.Var], among: set) -> list[relax.Var]:
    read = [leaf for var in readers for leaf in operands(graph.bindings[var]) if leaf in among]
    return list(dict.fromkeys(read))


def _refuse_floats(graph: Graph, middle: list[relax.Var], entering: list[relax.Var]) -> None:
    for var in (*entering, *middle):
        if "float" in str(var.ty.dtype):
            what = op_name(graph.bindings.get(var)) or f"the input {var.name!r}"
            raise ValueError(
                "partition_conversions='fully_integral', but the quantized part computes "
                f"{what} in {var.ty.dtype}; quantize under PassContext(opt_level=3) so that biases "
                "stay in integers, skip no layer in between, or use 'enabled'"
            )


def _fresh(params: Iterable[relax.Var]) -> dict[relax.Var, relax.Var]:
    return {var: relax.Var(var.name, var.ty) for var in params}


def _part(
    graph: Graph, params: list[relax.Var], body: set[relax.Var], result: relax.Expr
) -> relax.Function:
    """Return the function that computes ``body`` from ``params``."""
    emitter, fresh = Emitter(), _fresh(params)
    values: dict[relax.Expr, relax.Expr] = dict(fresh)
    for var in graph.post_order():
        if var in body:
            expr = map_operands(graph.bindings[var], lambda leaf: values.get(leaf, leaf))
            values[var] = emitter.emit(expr)
    output = map_operands(result, lambda leaf: values.get(leaf, leaf))
    return emitter.function(list(fresh.values()), output)


def _main(
    graph: Graph, calls: list[relax.GlobalVar], entering: int, leaving: int
) -> relax.Function:
    """Return the function that calls the three parts."""
    emitter, fresh = Emitter(), list(_fresh(graph.params).values())
    quantize, middle, dequantize = calls
    inputs = emitter.emit(relax.Call(quantize, fresh))
    fields = [emitter.emit(relax.TupleGetItem(inputs, i)) for i in range(entering)]
    outputs = emitter.emit(relax.Call(middle, fields))
    values = [outputs]
    if leaving != 1:
        values = [emitter.emit(relax.TupleGetItem(outputs, i)) for i in range(leaving)]
    return emitter.function(fresh, relax.Call(dequantize, values), graph.func.attrs)
