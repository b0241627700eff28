"""Read an fx node: its arguments, the operator it stands for, and where the user wrote it."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputSpec

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in [^\n]*(?:\n +(\S[^\n]*))?')
_SCRIPT_FRAME = re.compile(r"([^\n(]+)\((\d+)\): ")
# Frames of these packages, and of generated code, are not the user's own.
_FOREIGN = (str(Path(torch.__file__).parent), str(Path(__file__).parent), "<")


def arguments(node: fx.Node) -> dict[str, Any]:
    """Return all arguments of an operator call under the names of its schema, with defaults."""
    schema = node.target._schema.arguments
    values = {a.name: a.default_value for a in schema if a.has_default_value()}
    values.update(zip((a.name for a in schema), node.args, strict=False))
    values.update(node.kwargs)
    return values


def input_specs(program: ExportedProgram) -> dict[fx.Node, InputSpec]:
    """Return what each placeholder is; by position, for a copied graph has names of its own."""
    placeholders = program.graph.find_nodes(op="placeholder")
    return dict(zip(placeholders, program.graph_signature.input_specs, strict=True))


def operator_name(node: fx.Node) -> str:
    """Return the operator as the model called it, before torch decomposed it."""
    target = node.meta.get("original_aten", node.target)
    return str(target) if isinstance(target, torch._ops.OpOverload) else node.target.__name__


def locate(node: fx.Node, script: torch.jit.ScriptModule | None = None) -> str:
    """Return e.g. " in module 'conv1', at model.py line 3: y = ...", or "" if nothing is known."""
    if script is not None:
        return _locate_in_script(operator_name(node), script)
    modules = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    own = [frame for frame in frames if not frame[0].startswith(_FOREIGN)]
    return _describe(modules[-1] if modules else "", *(own[-1] if own else ("", "", "")))


def locate_exception(error: BaseException) -> str:
    """Return the innermost line of the user's own code that an exception came through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(_FOREIGN):
            return _describe("", frame.filename, str(frame.lineno), frame.line or "")
    return ""


def _locate_in_script(operator: str, script: torch.jit.ScriptModule) -> str:
    # The capture of TorchScript loses its source ranges, so the operator is looked up by its kind.
    kind = "aten::" + operator.removeprefix("aten.").partition(".")[0]
    graph = script.inlined_graph  # its nodes die with it
    for node in graph.findAllNodes(kind):
        scopes = re.findall(r"__module\.([\w.]+)", node.scopeName())
        frames = _SCRIPT_FRAME.findall(node.sourceRange())
        own = [frame for frame in frames if not frame[0].startswith(_FOREIGN)]
        return _describe(scopes[-1] if scopes else "", *(own[0] if own else ("", "")), "")
    return ""


def _describe(module: str, filename: str, line: str, source: str) -> str:
    text = f" in module {module!r}" if module else ""
    if filename:
        text += f", at {Path(filename).name} line {line}" + (f": {source}" if source else "")
    return text
