"""Models from files: float ones to import, compiled ones to load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._folder import MODEL, RECIPE
from ._kinds import FLOAT, kind_of
from ._output import first_line
from ._shapes import onnx_inputs, program_inputs, settle
from ._wishes import Wishes

if TYPE_CHECKING:
    import torch
    import tvm

    from ..backend import TensorSpec
    from ..quantize import Recipe
    from ..runtime import CompiledModel

__all__ = ["FloatModel", "load_or_compile", "load_program", "read_float", "read_recipe"]


@dataclass(frozen=True)
class FloatModel:
    """An imported model."""

    path: Path
    mod: tvm.IRModule
    params: Mapping[str, Any]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def read_float(path: Path, wishes: Wishes) -> FloatModel:
    """Import an .onnx or .pt2 file.

    Raises
    ------
    FileNotFoundError, ValueError, NotImplementedError
        What the importers raise, and if the file is something else.
    """
    from .._signature import bind_params, signature
    from ..frontend import from_onnx, from_pytorch

    kind = kind_of(path)
    if kind not in FLOAT:
        raise ValueError(f"{path} is no float model: give an .onnx or .pt2 file")
    if kind == "onnx":
        model: Any = path
        declared = onnx_inputs(path)
    else:
        model = load_program(path)
        declared = program_inputs(model)
    if declared is None:  # the importer says why
        inputs = []
    else:
        inputs = settle(path, declared, wishes.shapes, wishes.batch_size, wishes.seen, wishes.like)
    shapes = [(spec.name, (spec.shape, spec.dtype)) for spec in inputs]
    mod, params = from_onnx(model, shapes) if kind == "onnx" else from_pytorch(model, shapes)
    return FloatModel(path, mod, params, *signature(bind_params(mod, params)))


def load_program(path: Path) -> torch.export.ExportedProgram:
    """Read a .pt2 file.

    Raises
    ------
    ValueError
        It is no such file, or damaged.
    """
    import torch

    from ..frontend._quiet import quiet

    try:
        with quiet("torch"):
            return torch.export.load(path)
    except Exception as error:  # of zip, JSON, pickle and torch
        raise ValueError(
            f"{path} is no file of torch.export.save, or it is cut short: "
            f"{first_line(str(error)).rstrip('.') or type(error).__name__}"
        ) from error


def load_or_compile(path: Path, wishes: Wishes) -> CompiledModel:
    """Return what can be run: loaded, or a float model compiled.

    Raises
    ------
    ValueError
        A recipe cannot; a library was compiled for another instruction set than `wishes` ask for.
    """
    import tvm_book

    kind = kind_of(path)
    if kind in FLOAT:
        model = read_float(path, wishes)
        return tvm_book.compile(
            model.mod, params=model.params, isa=wishes.isa, threads=wishes.threads
        )
    library = path / MODEL if kind == "folder" else path
    if kind == "recipe" or not library.exists():
        raise ValueError(f"{path} holds a recipe only, which cannot run: give a model")
    loaded = tvm_book.load(library, threads=wishes.threads)
    if wishes.isa not in (None, loaded.isa):
        raise ValueError(
            f"--isa {wishes.isa}: {library} was compiled for {loaded.isa}: leave the option "
            "out, or quantize with it"
        )
    return loaded


def read_recipe(path: Path) -> Recipe:
    """Read the recipe in a folder, a library or a file of its own.

    Raises
    ------
    ValueError
        There is none in it.
    """
    from ..quantize import Recipe
    from ..runtime import _library

    kind = kind_of(path)
    if kind == "folder":
        kind, path = ("recipe", path / RECIPE) if (path / RECIPE).exists() else (kind, path / MODEL)
    if kind == "recipe":
        return Recipe.load(path)
    if kind in FLOAT:
        raise ValueError(
            f"{path} is a float model: give the folder or recipe that tvm-book quantize wrote"
        )
    _, content = _library.read_all(path)  # without loading it, which another CPU could not
    if not content:
        raise ValueError(
            f"{path} holds no recipe, as a compiled float model: give the folder or recipe that "
            "tvm-book quantize wrote"
        )
    return Recipe.from_bytes(content, str(path))
