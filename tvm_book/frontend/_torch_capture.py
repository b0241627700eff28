"""Capture a PyTorch model as one ``torch.export`` program with static shapes.

Every kind of model ends as the same kind of program, so that the rest of the importer knows one.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._export.converter import TS2EPConverter
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, TensorArgument
from torch.utils import _pytree as pytree

from ._errors import UnsupportedModelError
from ._inputs import ModelInput
from ._torch_check import check_exported_input, check_tensors, explained, wrong_count


@dataclass(frozen=True)
class Captured:
    """A program, the model's tensors by name, and the script that the program came from, if any."""

    program: ExportedProgram
    tensors: dict[str, torch.Tensor]
    script: torch.jit.ScriptModule | None = None

    @functools.cached_property
    def first_names(self) -> dict[str, str]:
        """The first name of every tensor, since models may share one tensor under several."""
        seen: dict[Any, str] = {}
        return {
            name: seen.setdefault((t.data_ptr(), t.dtype, t.shape, t.stride()), name)
            for name, t in self.tensors.items()
        }


def capture(model: Any, inputs: list[ModelInput]) -> Captured:
    """Capture `model` for the given inputs; the model itself stays as it is."""
    if isinstance(model, ExportedProgram):
        return _capture_program(model, inputs)
    if isinstance(model, torch.jit.ScriptModule):
        return _capture_script(model, inputs)
    if isinstance(model, nn.Module):
        return _capture_module(model, inputs)
    found = f"an object of type {type(model).__name__}"
    if isinstance(model, type) and issubclass(model, nn.Module):
        found = f"the class {model.__name__}: pass an instance of it"
    elif callable(model):
        found = f"a {type(model).__name__}: put the function into the forward of an nn.Module"
    raise TypeError(
        "model must be a torch.nn.Module, the result of torch.jit.trace, or a "
        f"torch.export.ExportedProgram, not {found}"
    )


@contextlib.contextmanager
def plain_torch() -> Iterator[None]:
    """Let no mode that the caller has switched on get into the program."""
    fast_path = torch.backends.mha.get_fastpath_enabled()  # one operator for a whole layer
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _capture_module(model: nn.Module, inputs: list[ModelInput]) -> Captured:
    tensors = _named_tensors(model)
    check_tensors(tensors, inputs)
    samples = _samples(inputs)
    signature = inspect.signature(model.forward)
    try:
        signature.bind(*samples)
    except TypeError as error:
        raise wrong_count(inputs, f"forward{signature}") from error
    return Captured(_export(_eval_copy(model), samples, {}, inputs), tensors)


def _capture_script(model: torch.jit.ScriptModule, inputs: list[ModelInput]) -> Captured:
    tensors = _named_tensors(model)
    check_tensors(tensors, inputs)
    arguments = model.forward.schema.arguments[1:]
    required = [argument for argument in arguments if not argument.has_default_value()]
    if not len(required) <= len(inputs) <= len(arguments):
        raise wrong_count(inputs, f"forward({', '.join(a.name for a in arguments)})")
    samples = _samples(inputs)
    # The converter rewrites the graph that it is given, and a deep copy would share it.
    stored = io.BytesIO()
    torch.jit.save(model, stored)
    stored.seek(0)
    script = torch.jit.load(stored).eval()
    with explained(script, samples, {}, inputs, "the nn.Module that it was made from"):
        dynamic = TS2EPConverter(script, samples).convert()
    # The converter makes sizes symbolic; exporting its result once more settles every one.
    program = _export(dynamic.module(check_guards=False), samples, {}, inputs)
    return Captured(program, tensors, model)


def _capture_program(model: ExportedProgram, inputs: list[ModelInput]) -> Captured:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    check_tensors(tensors, inputs)
    specs = [s for s in model.graph_signature.input_specs if s.kind == InputKind.USER_INPUT]
    if len(specs) != len(inputs):
        names = ", ".join(spec.arg.name for spec in specs)
        raise wrong_count(inputs, f"the exported program ({names})")
    values = {node.name: node.meta.get("val") for node in model.graph.find_nodes(op="placeholder")}
    for spec, item in zip(specs, inputs, strict=True):
        if not isinstance(spec.arg, TensorArgument):
            raise UnsupportedModelError(
                f"input {spec.arg.name!r} of the exported program is not a tensor: export a module "
                "whose forward takes tensors only"
            )
        check_exported_input(item, values[spec.arg.name], model)
    sizes = itertools.chain.from_iterable(values[spec.arg.name].shape for spec in specs)
    if any(isinstance(size, torch.SymInt) for size in sizes):
        args, kwargs = pytree.tree_unflatten(_samples(inputs), model.call_spec.in_spec)
        return Captured(_export(model.module(check_guards=False), args, kwargs, inputs), tensors)
    # Later steps edit the graph but only read the tensors, so the copy shares those.
    shared = itertools.chain(model.state_dict.values(), model.constants.values())
    return Captured(copy.deepcopy(model, {id(value): value for value in shared}), tensors)


def _export(module: nn.Module, args: Any, kwargs: Any, inputs: list[ModelInput]) -> ExportedProgram:
    with explained(module, args, kwargs, inputs, "the result of torch.jit.trace(model, example)"):
        return torch.export.export(module, args, kwargs, strict=False)


def _named_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    parameters = model.named_parameters(remove_duplicate=False)
    return dict(itertools.chain(parameters, model.named_buffers(remove_duplicate=False)))


def _samples(inputs: list[ModelInput]) -> tuple[torch.Tensor, ...]:
    return tuple(
        torch.zeros(item.shape, dtype=getattr(torch, item.dtype), device="cpu") for item in inputs
    )


def _eval_copy(model: nn.Module) -> nn.Module:
    """Copy the modules, but not their tensors, and switch the copy to eval mode."""
    tensors = itertools.chain(
        model.parameters(),
        model.buffers(),
        (v for m in model.modules() for v in vars(m).values() if isinstance(v, torch.Tensor)),
    )
    try:
        copied = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    except Exception as error:
        raise UnsupportedModelError(
            f"the model cannot be copied ({type(error).__name__}: {error}), and the importer does "
            "not touch the original: pass torch.export.export(model.eval(), example_inputs)"
        ) from error
    try:
        return copied.eval()
    except NotImplementedError:  # the .module() of an exported program has no mode to switch
        return copied
