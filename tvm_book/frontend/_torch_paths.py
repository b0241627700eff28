"""Tell which module of the model each operator of a program belongs to."""

from __future__ import annotations

from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from ._torch_nodes import input_specs


def module_paths(program: ExportedProgram) -> dict[fx.Node, str]:
    """Return the path of the innermost module around each operator, "" for the model itself.

    A program that came from TorchScript has forgotten its modules. There, an operator that reads a
    parameter belongs to the module of that parameter; this also finds the module behind
    ``F.linear(x, self.fc.weight)``.
    """
    owners = {
        node: spec.target.rpartition(".")[0]
        for node, spec in input_specs(program).items()
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER)
    }
    weights: dict[fx.Node, str] = {}  # parameters, and what is made of nothing else
    paths = {}
    for node in program.graph.nodes:
        if node in owners:
            weights[node] = owners[node]
        elif node.op == "call_function":
            sources = node.all_input_nodes
            owner = next((weights[source] for source in sources if source in weights), "")
            paths[node] = _innermost(node) or owner
            if sources and all(source in weights for source in sources):
                weights[node] = owner
    return paths


def _innermost(node: fx.Node) -> str:
    modules = list((node.meta.get("nn_module_stack") or {}).values())
    return modules[-1][0] if modules else ""
