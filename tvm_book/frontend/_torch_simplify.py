"""Reduce a captured program to few operators, without side effects, in a fixed spelling."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram, default_decompositions
from torch.export.graph_signature import OutputKind, TensorArgument

from ._errors import UnsupportedModelError
from ._torch_capture import Captured
from ._torch_nodes import arguments

aten = torch.ops.aten

# torch would take these apart, but Relax has the operator itself.
_KEPT = (
    aten.adaptive_avg_pool1d.default,
    aten.adaptive_avg_pool2d.default,
    aten.group_norm.default,
    aten.layer_norm.default,
    aten.linear.default,
    aten.matmul.default,
    aten.max_pool1d.default,
    aten.max_pool2d.default,
    aten.max_pool3d.default,
    aten.upsample_bicubic2d.vec,
)


def simplify(captured: Captured) -> Captured:
    """Make the program functional and decompose what Relax has no operator for."""
    _check_outputs(captured.program)
    _spell_flatten(captured.program.graph_module)
    program = captured.program.run_decompositions(_decompositions())
    _check_pure(program)
    return replace(captured, program=program)


@functools.cache  # collecting the table takes as long as importing a small model
def _decompositions() -> dict[Any, Callable]:
    table = default_decompositions()
    for operator in _KEPT:
        table.pop(operator)
    return table.materialize()


def _spell_flatten(module: fx.GraphModule) -> None:
    """Write flatten as a reshape that keeps the rank, then a squeeze.

    Relay's importer did so, and its quantizer treats a squeeze differently from a reshape.
    A view that the model spells itself stays a reshape.
    """
    graph = module.graph
    for node in graph.find_nodes(op="call_function", target=aten.flatten.using_ints):
        call = arguments(node)
        source, value = call["self"], call["self"].meta["val"]
        rank = max(value.dim(), 1)  # torch lets a 0-d tensor be flattened to one element
        start, end = call["start_dim"] % rank, call["end_dim"] % rank
        flat = math.prod(value.shape[start : end + 1])
        ones = [1] * (end - start)
        shape = [*value.shape[:start], flat, *ones, *value.shape[end + 1 :]]
        axes = list(range(start + 1, end + 1))
        with graph.inserting_before(node):
            result = graph.call_function(aten.reshape.default, (source, shape))
            result.meta = {**node.meta, "val": value.reshape(shape)}
            if axes:
                result = graph.call_function(aten.squeeze.dims, (result, axes))
                result.meta = dict(node.meta)
        node.replace_all_uses_with(result)
        graph.erase_node(node)
    module.recompile()


def _check_outputs(program: ExportedProgram) -> None:
    outputs = [
        spec.arg
        for spec in program.graph_signature.output_specs
        if spec.kind == OutputKind.USER_OUTPUT
    ]
    for position, output in enumerate(outputs):
        if not isinstance(output, TensorArgument):
            value = getattr(output, "value", output)
            raise UnsupportedModelError(
                f"output {position} of the model is {value!r}, not a tensor: let forward return "
                "a tensor, or a tuple of tensors"
            )
    if not outputs:
        raise UnsupportedModelError("the model returns nothing: let forward return a tensor")


def _check_pure(program: ExportedProgram) -> None:
    changed = [
        spec.target
        for spec in program.graph_signature.output_specs
        if spec.kind in (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION)
    ]
    if changed:
        raise UnsupportedModelError(
            f"the model changes its own tensors {', '.join(map(repr, changed))} when it runs, and "
            "a Relax function has no state. If it was traced or exported in training mode, do that "
            "again after model.eval(); otherwise take the state as an input and return it"
        )
