"""Reduce a captured program to few operators, without side effects, in a fixed spelling."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.export import ExportedProgram, default_decompositions
from torch.export.graph_signature import OutputKind, TensorArgument

from ._errors import UnsupportedModelError
from ._torch_attention import attention
from ._torch_capture import Captured
from ._torch_core import spell_core
from ._torch_respell import respell

aten = torch.ops.aten

# torch would take these apart, but Relax has the operator itself.
_KEPT = (
    aten._upsample_nearest_exact1d.vec,
    aten._upsample_nearest_exact2d.vec,
    aten.adaptive_avg_pool1d.default,
    aten.adaptive_avg_pool2d.default,
    aten.adaptive_max_pool1d.default,
    aten.avg_pool1d.default,
    aten.group_norm.default,
    aten.hardsigmoid.default,
    aten.hardswish.default,
    aten.instance_norm.default,
    aten.layer_norm.default,
    aten.linear.default,
    aten.matmul.default,
    aten.max_pool1d.default,
    aten.max_pool2d.default,
    aten.max_pool3d.default,
    aten.pad.default,
    aten.roll.default,
    aten.upsample_bicubic2d.vec,
    aten.upsample_linear1d.vec,
    aten.upsample_nearest1d.vec,
    aten.upsample_nearest3d.vec,
    aten.upsample_trilinear3d.vec,
)


def simplify(captured: Captured) -> Captured:
    """Make the program functional and decompose what Relax has no operator for."""
    program = captured.program
    _check_outputs(program)
    respell(program.graph)
    if not spell_core(program.graph):
        program.graph_module.recompile()
        program = program.run_decompositions(_decompositions())
    _check_pure(program)
    return replace(captured, program=program)


@functools.cache  # collecting the table takes as long as importing a small model
def _decompositions() -> dict[Any, Callable]:
    table = default_decompositions()
    for operator in _KEPT:
        table.pop(operator)
    return {**table.materialize(), aten.scaled_dot_product_attention.default: attention}


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
