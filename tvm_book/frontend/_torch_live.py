"""Find what a program really computes at run time: not its assertions, not constant scalars."""

from __future__ import annotations

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from ._torch_nodes import input_specs


def constant_scalars(program: ExportedProgram) -> dict[fx.Node, torch.Tensor]:
    """Compute the 0-d tensors that depend on constants only.

    A traced module computes with sizes in this form, e.g. the square root of a head's width.
    """
    constants = {
        node: program.constants[spec.target]
        for node, spec in input_specs(program).items()
        if spec.kind == InputKind.CONSTANT_TENSOR
    }
    known: dict[fx.Node, torch.Tensor] = {}
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor) or value.dim() > 0:
            continue
        if node in constants:
            known[node] = constants[node]
        elif _is_pure(node) and all(source in known for source in node.all_input_nodes):
            args, kwargs = fx.map_arg((node.args, node.kwargs), known.__getitem__)
            known[node] = node.target(*args, **kwargs)
    return known


def _is_pure(node: fx.Node) -> bool:
    return (
        isinstance(node.target, torch._ops.OpOverload)
        and torch.Tag.nondeterministic_seeded not in node.target.tags
    )


def live_calls(program: ExportedProgram, known: dict[fx.Node, torch.Tensor]) -> list[fx.Node]:
    """Return the calls that the results depend on, in order, without those that are `known`."""
    live: set[fx.Node] = set()
    waiting = list(program.graph.output_node().all_input_nodes)
    while waiting:
        node = waiting.pop()
        if node not in live and node not in known:
            live.add(node)
            waiting.extend(node.all_input_nodes)
    return [node for node in program.graph.nodes if node in live and node.op == "call_function"]
