"""The work of ``tvm-book quantize``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._json import json_text
from ._data import count_samples, cut, shapes_of
from ._describe import describe_recipe
from ._folder import MODEL, PAGE, RECIPE, SUMMARY
from ._measure import differences, evaluator, outputs
from ._models import FloatModel, read_float, read_recipe
from ._npz import read_npz
from ._operators import operators
from ._progress import stage
from ._wishes import Wishes

if TYPE_CHECKING:
    import numpy as np
    import tvm

    from ..quantize import QConfig, Recipe

__all__ = ["FLAGS", "Job"]

# Fields of QConfig that have an option of their own; --set is for the others.
FLAGS = {"preset": "--preset", "calibrate_mode": "--calibrate-mode", "skip": "--skip"}


@dataclass
class Job:
    """One quantization; attributes are the options of the command."""

    model: Path
    calibration: tuple[Path, ...]
    preset: str
    calibrate_mode: str | None
    skip: tuple[str, ...]
    settings: tuple[tuple[str, Any], ...]
    recipe: Path | None
    compile: bool
    html: bool
    batch_size: int | None
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    isa: str | None
    threads: int | None
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, folder: Path) -> dict[str, Any]:
        """Quantize, and write the results into a folder; return what ``report.json`` holds."""
        if self.html and not self.calibration:
            raise click.UsageError("--html looks at data: give --calibration")
        if not self.compile and (self.isa or self.threads):
            raise click.UsageError("--isa and --threads are about model.so: drop --no-compile")
        config = None if self.recipe else self._config()
        files = {path: read_npz(path) for path in self.calibration}
        recipe = read_recipe(self.recipe) if self.recipe else None
        with stage(f"importing {self.model}", self.seconds):
            model = self._import(files, recipe)
        batches = cut(files, model.inputs) if files else []
        with stage("quantizing", self.seconds):
            qmod, recipe = self._quantize(model, batches, config, recipe)
        recipe.save(folder / RECIPE)
        run, specs = self._compile(qmod, folder)
        check = None
        if batches:
            with stage("checking", self.seconds):
                check = _check(model, run, specs, batches)
        if self.html:
            self._write_page(folder / PAGE, model, batches, recipe)
        summary = {
            "model": self.model,
            "calibration": list(self.calibration),
            "samples": count_samples(files, model.inputs),
            "recipe": self.recipe,
            **describe_recipe(recipe),
            "isa": getattr(run, "isa", None),
            "layers": _layers(recipe, model),
            "bytes": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
            "seconds": self.seconds,
            "check": check,
        }
        text = json_text(summary, ascii_only=True)
        (folder / SUMMARY).write_text(f"{text}\n", encoding="utf-8")
        return summary

    def _config(self) -> QConfig:
        from ..quantize import qconfig

        options = dict(self.settings)
        for name in FLAGS.keys() & options.keys():
            raise click.UsageError(f"--set {name} has an option of its own: give {FLAGS[name]}")
        if self.calibrate_mode:
            options["calibrate_mode"] = self.calibrate_mode
        if self.skip:
            options["skip"] = self.skip
        try:
            return qconfig(preset=self.preset, **options)
        except (TypeError, ValueError) as error:
            raise click.UsageError(str(error)) from error

    def _import(self, files: Mapping[Path, Mapping], recipe: Recipe | None) -> FloatModel:
        from ..backend import isa, resolve_target

        if self.compile:
            isa.select(resolve_target("llvm"), self.isa)  # before the work, not after it
        like = {spec.name: spec.shape for spec in recipe.inputs} if recipe else {}
        return read_float(
            self.model,
            Wishes(
                shapes=dict(self.shapes),
                seen=shapes_of(files),
                like=like,
                batch_size=self.batch_size,
            ),
        )

    def _quantize(
        self,
        model: FloatModel,
        batches: list[dict[str, np.ndarray]],
        config: QConfig | None,
        recipe: Recipe | None,
    ) -> tuple[tvm.IRModule, Recipe]:
        from ..quantize import Recipe, quantize
        from ..quantize.calibrate._modes import looks_at_data
        from ..quantize.qdq import has_grids

        if recipe is not None:
            return recipe.apply(model.mod, model.params), recipe
        mode = None if has_grids(model.mod) else looks_at_data(config)
        if mode and not batches:
            raise click.UsageError(f"calibrate_mode={mode!r} looks at data: give --calibration")
        qmod = quantize(model.mod, model.params, batches or None, config)
        return qmod, Recipe.of(qmod)

    def _compile(self, qmod: tvm.IRModule, folder: Path) -> tuple[Any, Any]:
        """Return what runs the result: the file that was written, if one was."""
        import tvm_book

        from .._signature import signature

        if not self.compile:
            return evaluator(qmod), signature(qmod)[1]
        with stage("compiling", self.seconds):
            run = tvm_book.compile(qmod, isa=self.isa, threads=self.threads)
            run.save(folder / MODEL)
        run = tvm_book.load(folder / MODEL, threads=self.threads)
        return run, run.outputs

    def _write_page(
        self, path: Path, model: FloatModel, batches: list[dict[str, np.ndarray]], recipe: Recipe
    ) -> None:
        from ..report import layerwise

        with stage("reporting", self.seconds):
            found = layerwise(model.mod, data=batches, params=model.params, recipe=recipe)
        found.to_html(path)


def _check(model: FloatModel, run: Any, specs: Any, batches: list) -> list[dict[str, Any]]:

    expected = outputs(evaluator(model.mod, model.params), model.outputs, batches)
    return differences(expected, outputs(run, specs, batches))


def _layers(recipe: Recipe, model: FloatModel) -> dict[str, int]:

    found = operators(model, recipe.config)
    return {key: sum(row[key] for row in found) for key in ("all", "int8")}
