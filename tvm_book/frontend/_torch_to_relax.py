"""Write a simplified program as a Relax function."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import numpy as np
import torch
import tvm
from torch import fx
from torch.export.graph_signature import InputKind, OutputKind
from tvm import relax
from tvm.relax.frontend.torch.exported_program_translator import ExportedProgramImporter

from ._errors import UnsupportedModelError
from ._finish import finish
from ._inputs import ModelInput
from ._paths import PathBuilder
from ._torch_capture import Captured
from ._torch_elementwise import ELEMENTWISE, dtype_name
from ._torch_images import IMAGES
from ._torch_layers import LAYERS, constant, shape_of
from ._torch_live import constant_scalars, live_calls
from ._torch_nodes import arguments, input_specs, locate, operator_name
from ._torch_paths import module_paths
from ._torch_stock import STOCK

_CONVERTERS = LAYERS | IMAGES | ELEMENTWISE
_ADVICE = (
    "Write that part of forward with other operators, or split the model there and leave that "
    "part to torch"
)

_OPERATOR = re.compile(r'ir\.Op\(.*?name="([^"]+)".*?support_level=\d+\)', re.DOTALL)


def to_relax(
    captured: Captured, inputs: list[ModelInput]
) -> tuple[tvm.IRModule, dict[str, tvm.runtime.Tensor]]:
    """Convert every operator; the tensors that are in use become parameters."""
    importer = ExportedProgramImporter()
    builder = importer.block_builder = PathBuilder()
    known = constant_scalars(captured.program)
    calls = live_calls(captured.program, known)
    _check_operators(calls, captured)
    paths = module_paths(captured.program)
    variables = _declare(captured, inputs, importer)
    importer.env.update((node, _to_constant(tensor)) for node, tensor in known.items())
    failure = None
    with builder.function("main", variables):
        with builder.dataflow():
            try:
                for node in calls:
                    builder.path = paths[node]
                    importer.env[node] = _convert(node, captured, importer)
                results = _results(captured, importer)
            except UnsupportedModelError as error:
                # The builder complains on stderr unless it is led to the end of its function.
                failure, results = error, variables[:1]
            output = builder.emit_results(results)
        builder.emit_func_output(output)
    if failure is not None:
        raise failure
    tensors = {name: _to_numpy(tensor) for name, tensor in captured.tensors.items()}
    return finish(builder.get(), len(inputs), tensors)


def _check_operators(calls: list[fx.Node], captured: Captured) -> None:
    problems = {}  # the first place of each
    for node in calls:
        problem = _problem(node)
        if problem is not None:
            problems.setdefault(problem, locate(node, captured.script))
    if problems:
        found = "; ".join(problem + place for problem, place in problems.items())
        raise UnsupportedModelError(f"the model cannot be written in Relax: {found}. {_ADVICE}")


def _problem(node: fx.Node) -> str | None:
    name = operator_name(node)
    value = node.meta.get("val")
    results = value if isinstance(value, list | tuple) else [value]
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return f"{name} holds control flow or a program of its own"
    if not isinstance(node.target, torch._ops.OpOverload) or name.startswith("aten.sym_"):
        return None  # an item of a tuple, or arithmetic with a size that is reported below
    if isinstance(value, torch.SymInt):
        return f"{name} makes a Python number of a value"
    if any(isinstance(r, torch.Tensor) and not _is_static(r) for r in results):
        return f"the result size of {name} depends on the values of its input"
    if torch.Tag.nondeterministic_seeded in node.target.tags:
        return f"{name} is random (dropout is, if it was captured in training mode)"
    if not is_convertible(node):
        return f"there is no conversion for {name}"
    return None


def is_convertible(node: fx.Node) -> bool:
    """Whether an operator of torch has a conversion."""
    if not isinstance(node.target, torch._ops.OpOverload) or node.target.namespace != "aten":
        return False
    return node.target.__name__ in _CONVERTERS or node.target.__name__ in STOCK


def _is_static(value: torch.Tensor) -> bool:
    return all(isinstance(size, int) for size in value.shape)


def _declare(
    captured: Captured, inputs: list[ModelInput], importer: ExportedProgramImporter
) -> list[relax.Var]:
    """Make a variable per input and per named tensor, and constants of the other tensors."""
    program = captured.program
    names = (item.name for item in inputs)
    user_inputs, parameters = [], {}
    for node, spec in input_specs(program).items():
        value = node.meta["val"]
        type_ = relax.TensorType(list(value.shape), dtype_name(value.dtype))
        if spec.kind == InputKind.USER_INPUT:
            importer.env[node] = relax.Var(next(names), type_)
            user_inputs.append(importer.env[node])
        elif spec.target in captured.tensors:
            name = captured.first_names[spec.target]
            importer.env[node] = parameters.setdefault(name, relax.Var(name, type_))
        else:
            tensor = {**program.state_dict, **program.constants}[spec.target]
            importer.env[node] = _to_constant(tensor)
    return [*user_inputs, *parameters.values()]


def _convert(node: fx.Node, captured: Captured, importer: ExportedProgramImporter) -> Any:
    try:
        converter = _CONVERTERS.get(node.target.__name__)
        if converter is None:
            result = importer.convert_map[node.target.__name__](node)
            if isinstance(result, tvm.ir.Call):  # some converters do not emit their last step
                result = importer.block_builder.emit(result)
        else:
            values = fx.map_arg(arguments(node), lambda argument: importer.env[argument])
            result = converter(importer.block_builder.emit, node, **values)
        _check_type(result, node.meta.get("val"))
    except Exception as error:
        reason = _OPERATOR.sub(r"\1", str(error)) or type(error).__name__
        raise UnsupportedModelError(
            f"{operator_name(node)} cannot be written in Relax{locate(node, captured.script)}: "
            f"{textwrap.shorten(reason, 200)}. {_ADVICE}"
        ) from error
    return result


def _check_type(result: Any, value: Any) -> None:
    if result is None:
        raise NotImplementedError("this one of its results has no counterpart in Relax")
    # TVM's importer does not notice every argument that it ignores; torch knows the right type.
    if isinstance(result, relax.Expr) and isinstance(value, torch.Tensor):
        found = f"{result.ty.dtype}{shape_of(result)}".removeprefix("T.")
        expected = f"{dtype_name(value.dtype)}{list(value.shape)}"
        if found != expected:
            raise NotImplementedError(f"the conversion gives {found} where torch gives {expected}")


def _results(captured: Captured, importer: ExportedProgramImporter) -> list[relax.Expr]:
    nodes = captured.program.graph.output_node().args[0]
    specs = captured.program.graph_signature.output_specs
    return [
        importer.env[node]
        for node, spec in zip(nodes, specs, strict=True)
        if spec.kind == OutputKind.USER_OUTPUT
    ]


def _to_constant(tensor: torch.Tensor) -> relax.Expr:
    return constant(_to_numpy(tensor), dtype_name(tensor.dtype))


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
