"""A recipe as a JSON document and arrays, and back."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from .._tensors import TensorSpec
from .calibrate import ALGORITHMS, Grid
from .config import QConfig
from .corrections import Corrections

if TYPE_CHECKING:
    from .recipe import Recipe

__all__ = ["document_of", "from_document", "versions"]


def versions() -> dict[str, str]:
    """Return the versions of Python and of what computes a recipe."""
    libraries = {"tvm": "apache-tvm", "torch": "torch", "numpy": "numpy"}
    found = {name: metadata.version(package) for name, package in libraries.items()}
    return {"tvm_book": __version__, **found, "python": platform.python_version()}


def document_of(recipe: Recipe) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what JSON can hold of a recipe, and the rest as named arrays."""
    tensors: dict[str, np.ndarray] = {}
    grids = []
    for number, grid in enumerate(recipe.grids):
        row = grid._asdict() | {"low": float(grid.low), "high": float(grid.high)}
        if np.ndim(grid.scale):
            tensors[f"grids.{number}.scale"] = np.asarray(grid.scale)
            del row["scale"]
        else:
            row["scale"] = float(grid.scale)  # a float32 survives JSON
        grids.append(row)
    for name in _CORRECTIONS:
        for number, x in getattr(recipe.corrections, name).items():
            tensors[f"{name}.{number}"] = x
    document = {
        "config": _plain_config(recipe.config),
        "grids": grids,
        **{name: getattr(recipe, name) for name in _PLAIN},
        **{name: [dataclasses.asdict(spec) for spec in getattr(recipe, name)] for name in _SPECS},
    }
    return document | {"versions": dict(recipe.versions)}, tensors


def from_document(
    document: Mapping[str, Any], tensors: Mapping[str, np.ndarray], name: str
) -> dict[str, Any]:
    """Return the fields of a recipe; errors call it ``name``.

    Raises
    ------
    ValueError
        If the configuration has options that this version does not know.
    """
    grids = []
    for number, row in enumerate(document["grids"]):
        scale = np.float32(row["scale"]) if "scale" in row else tensors[f"grids.{number}.scale"]
        ends = {key: np.float32(row[key]) for key in ("low", "high")}
        grids.append(Grid(**row | {"scale": scale, "shape": tuple(row["shape"])} | ends))
    corrections: dict[str, dict[int, np.ndarray]] = {kind: {} for kind in _CORRECTIONS}
    for key, x in tensors.items():
        kind, _, number = key.partition(".")
        if kind in corrections:
            corrections[kind][int(number)] = x
    specs = {
        key: tuple(TensorSpec(**row | {"shape": _tuple(row["shape"])}) for row in document[key])
        for key in _SPECS
    }
    return {
        "config": _config(document["config"], name),
        "grids": tuple(grids),
        "corrections": Corrections(**{k: dict(sorted(x.items())) for k, x in corrections.items()}),
        "versions": document["versions"],
        **{key: document[key] for key in _PLAIN},
        **specs,
        "rules": tuple(document["rules"]),
    }


_CORRECTIONS = ("steps", "errors")
_PLAIN = ("model", "opt_level", "calibrated_by", "rules")
_SPECS = ("inputs", "outputs")


def _tuple(shape: list | None) -> tuple | None:
    return None if shape is None else tuple(shape)


def _plain_config(config: QConfig) -> dict[str, Any]:
    """Leave out what is code: rules, and a calibration algorithm of one's own."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    del fields["rules"]
    if fields["calibrate_mode"] not in ALGORITHMS:
        del fields["calibrate_mode"]
    return fields


def _config(fields: Mapping[str, Any], name: str) -> QConfig:
    known = {field.name for field in dataclasses.fields(QConfig)}
    if unknown := sorted(set(fields) - known):
        raise ValueError(
            f"{name} was made by a newer tvm_book: its configuration has {', '.join(unknown)}, "
            "which this version does not know; update it (pip install -U tvm-book)"
        )
    return QConfig(**fields)
