"""What ``tvm-book info`` finds out."""

from __future__ import annotations

import math
import platform
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

from ._folder import MODEL, RECIPE
from ._kinds import FLOAT, kind_of
from ._models import read_float
from ._operators import operators
from ._wishes import Wishes

__all__ = ["describe_recipe", "file", "machine"]

PACKAGES = {"tvm": "apache-tvm", "torch": "torch", "numpy": "numpy", "onnx": "onnx"}


def machine() -> dict[str, Any]:
    """Describe this installation and this CPU."""
    from tvm.target import codegen

    from .. import __version__
    from ..backend import available_threads, default_threads, isa, resolve_target

    target = resolve_target("llvm")
    return {
        "tvm_book": __version__,
        "python": platform.python_version(),
        **{name: _version(package) for name, package in PACKAGES.items()},
        "llvm": codegen.llvm_version_major(),
        "system": platform.platform(terse=True),
        "cpu": codegen.llvm_get_system_cpu(),
        "cores": available_threads(),
        "threads": default_threads(),
        "best_isa": isa.available(target)[0].name,
        "levels": [_level(isa, target, name) for name in isa.LEVELS],
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _level(isa: Any, target: Any, name: str) -> dict[str, Any]:
    try:
        isa.select(target, name)
    except ValueError as error:
        return {"isa": name, "available": False, "why": str(error)}
    return {"isa": name, "available": True, "why": ""}


def file(path: Path, preset: str, wishes: Wishes) -> dict[str, Any]:
    """Describe a model, a recipe, or what quantize wrote."""
    kind = kind_of(path)
    if kind in FLOAT:
        return _float_model(path, preset, wishes)
    from ..quantize import Recipe

    found: dict[str, Any] = {"file": str(path)}
    recipe, library = path, path
    if kind == "folder":
        found["kind"] = "results of tvm-book quantize"
        recipe, library = path / RECIPE, path / MODEL
    if kind != "recipe" and library.exists():
        found = {"file": str(path), "kind": "compiled model"} | found | _library(library)
    if kind != "compiled" and recipe.exists():
        found = {"file": str(path), "kind": "recipe"} | found | describe_recipe(Recipe.load(recipe))
    return found


def _float_model(path: Path, preset: str, wishes: Wishes) -> dict[str, Any]:
    from ..quantize import qconfig
    from ..quantize.qdq import has_grids

    model = read_float(path, wishes)
    config = qconfig(preset=preset)
    found = operators(model, config)
    return {
        "file": str(path),
        "kind": "ONNX model" if kind_of(path) == "onnx" else "exported PyTorch program",
        "inputs": _texts(model.inputs),
        "outputs": _texts(model.outputs),
        "parameters": sum(math.prod(p.shape) for p in model.params.values()),
        "already_quantized": has_grids(model.mod),
        "preset": preset,
        "int8_operators": f"{sum(r['int8'] for r in found)} of {sum(r['all'] for r in found)}",
        "operators": found,
    }


def _library(path: Path) -> dict[str, Any]:
    """Read the description of a file, which this CPU need not be able to run."""
    from tvm.target import Target

    from ..backend import cannot_run
    from ..quantize import Recipe
    from ..runtime import TensorSpec, _library

    about, recipe = _library.read_all(path)
    targets = [Target(about[key]) for key in ("target", "kernel_target")]
    why = cannot_run(targets, about["isa"], about["needs"])
    inputs, outputs = (
        [TensorSpec(row["name"], _shape(row["shape"]), row["dtype"]) for row in about[key]]
        for key in ("inputs", "outputs")
    )
    steps = Counter(step["dtype"] for step in about["steps"])
    return {
        "inputs": _texts(inputs),
        "outputs": _texts(outputs),
        "tvm": about["tvm"],
        "isa": about["isa"],
        "kernels_need": about["needs"],
        "compiled_for": targets[0].attrs.get("mcpu") or "generic",
        "runs_here": why is None,
        "why": why,
        "calls": dict(steps.most_common()),
        "bytes": path.stat().st_size,
        **(describe_recipe(Recipe.from_bytes(recipe, str(path))) if recipe else {}),
    }


def describe_recipe(recipe: Any) -> dict[str, Any]:
    """Tell what a recipe says, in what JSON has; of its options, those that the preset has not."""
    from ..quantize import PRESETS

    config = recipe.config
    preset = PRESETS[config.preset]
    changed = {k: getattr(config, k) for k in preset if getattr(config, k) != preset[k]}
    return {
        "inputs": _texts(recipe.inputs),
        "outputs": _texts(recipe.outputs),
        "preset": config.preset,
        "options": changed,
        "calibrated_by": recipe.calibrated_by,
        "grids": len(recipe.grids),
        "model_hash": recipe.model,
        "versions": dict(recipe.versions),
    }


def _texts(specs: Any) -> list[str]:
    return [str(spec) for spec in specs]


def _shape(sizes: list | None) -> tuple | None:
    return None if sizes is None else tuple(sizes)
