"""`Recipe`: what a quantization found out, to be kept and applied again without data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tvm
from tvm import IRModule

from .._files import write_file
from .._signature import bind_params, signature
from .._tensors import TensorSpec
from . import _recipe_file
from ._graph import Graph
from ._passes import annotate_passes, integer_passes
from ._recipe_document import document_of, from_document, versions
from .calibrate import Grid, SetGrids
from .calibrate._fingerprint import fingerprint
from .calibrate._grid import simulated
from .config import QConfig
from .corrections import Correct, Corrections
from .qdq import has_grids, realize_grids, recognise_passes
from .rules.rule import Rule

__all__ = ["Recipe"]


@dataclass(frozen=True, eq=False, repr=False)
class Recipe:
    """The decisions of one quantization: apply them again, elsewhere, without calibration data.

    `tvm_book.quantize.quantize` attaches one to what it returns, see `of`.

    Attributes
    ----------
    config : QConfig
    model : str
        Hash of the float model with its parameters, by which it is known again.
    opt_level : int
        Of the `tvm.transform.PassContext` that was open; what is folded depends on it.
    grids : tuple of `tvm_book.quantize.calibrate.Grid`
        Of every rounded tensor, in visiting order.
    corrections : Corrections
        Steps of compensated weights, and corrections of biases.
    inputs, outputs : tuple of TensorSpec
    calibrated_by : str
        Name of the algorithm.
    rules : tuple of str
        Operators of the ``config.rules``, which are code and not kept in a file.
    versions : mapping from str to str
        Of Python and of the libraries that made it.

    Examples
    --------
    >>> import numpy as np
    >>> from tvm import relax
    >>> from tvm_book import quantize
    >>> x = relax.Var("x", relax.TensorType((1, 2), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     y = builder.emit(relax.op.matmul(x, relax.const(np.eye(2, dtype="float32"))))
    ...     _ = builder.emit_func_output(y)
    >>> config = quantize.QConfig(preset="accurate", calibrate_mode="minmax")
    >>> data = [{"x": np.array([[1, -3]], "float32")}]
    >>> recipe = Recipe.of(quantize.quantize(builder.get(), dataset=data, config=config))
    >>> recipe
    Recipe(preset 'accurate', calibrated by minmax, 2 grids, x: float32 (1, 2))
    >>> qmod = recipe.apply(builder.get())
    >>> "int8" in qmod.script()
    True
    """

    config: QConfig
    model: str
    opt_level: int
    grids: tuple[Grid, ...]
    corrections: Corrections
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    calibrated_by: str
    rules: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=versions)

    @classmethod
    def made(
        cls,
        mod: IRModule,
        config: QConfig,
        grids: Sequence[Grid] = (),
        corrections: Corrections = Corrections(),  # noqa: B008, it is immutable
    ) -> Recipe:
        """Note what a quantization of ``mod``, whose parameters are bound, decided."""
        mode = config.calibrate_mode
        return cls(
            config,
            fingerprint(Graph(mod["main"])),
            tvm.transform.PassContext.current().opt_level,
            tuple(grids),
            corrections,
            *map(tuple, signature(mod)),
            calibrated_by=mode if isinstance(mode, str) else mode.__name__,
            rules=tuple(rule.op for rule in config.rules),
        )

    def attach(self, qmod: IRModule) -> IRModule:
        """Let a module that `quantize` made know its recipe; passes do not carry it on."""
        qmod.recipe = self
        return qmod

    @classmethod
    def of(cls, qmod: IRModule) -> Recipe:
        """Return the recipe of a module, as `quantize` or `apply` returned it.

        Raises
        ------
        ValueError
            If the module does not know it: it went through another pass, or was loaded.
        """
        recipe = getattr(qmod, "recipe", None)
        if recipe is None:
            raise ValueError(
                "this module does not know its recipe: take Recipe.of(...) of the very module that "
                "quantize returned, before other passes, or Recipe.load a file that was saved then"
            )
        return recipe

    def apply(
        self,
        mod: IRModule,
        params: Mapping[str, Any] | None = None,
        rules: Iterable[Rule] = (),
    ) -> IRModule:
        """Quantize the same float model again, without data: the same module bit for bit.

        Parameters
        ----------
        mod, params
            As `quantize` takes them.
        rules : sequence of Rule, optional
            The ``config.rules`` of a recipe that was loaded from a file.

        Returns
        -------
        IRModule

        Raises
        ------
        ValueError
            If the model or one of its weights is another, or rules are missing.
        """
        recipe = self._with_rules(tuple(rules))
        mod = recipe.bind(mod, params)
        with recipe.pass_context():
            if has_grids(mod):
                return recipe.attach(realize_grids(mod, config=recipe.config))
            calibrated = recipe.calibrated(mod)
            if not recipe.grids:
                return recipe.attach(mod.clone())
            passes = [Correct.as_pass(recipe.corrections)] if recipe.corrections else []
            passes += integer_passes(recipe.config)
            return recipe.attach(tvm.transform.Sequential(passes, name="Realize")(calibrated))

    def bind(self, mod: IRModule, params: Mapping[str, Any] | None = None) -> IRModule:
        """Bind the parameters of a float model, and check that it is the one of this recipe."""
        self._with_rules(())
        mod = bind_params(mod, params)
        inputs, _ = signature(mod)
        mine, theirs = ([(x.shape, x.dtype) for x in specs] for specs in (self.inputs, inputs))
        if mine != theirs:
            raise ValueError(
                f"this recipe is of a model that takes {_listed(self.inputs)}, "
                f"and this one takes {_listed(inputs)}"
            )
        if fingerprint(Graph(mod["main"])) != self.model:
            raise ValueError(
                "this recipe is of another model: an operator, a shape or a weight differs. "
                "Quantize this one anew, or import the recipe's model with the same versions "
                f"({', '.join(f'{name} {number}' for name, number in self.versions.items())})"
            )
        return mod

    def calibrated(self, mod: IRModule) -> IRModule:
        """Return a float module that `bind` returned, annotated, with the grids set.

        It is not corrected yet. Of a model that brings its own grids, the grids are those.
        """
        with self.pass_context():
            if has_grids(mod):
                return tvm.transform.Sequential(recognise_passes())(mod)
            annotated = tvm.transform.Sequential(annotate_passes(self.config))(mod)
            if len(simulated(Graph(annotated["main"]))) != len(self.grids):
                raise ValueError(
                    f"this recipe has {len(self.grids)} grids, but this version of tvm_book "
                    "rounds another number of tensors; the recipe was made with tvm_book "
                    f"{self.versions['tvm_book']}"
                )
            return SetGrids.as_pass(self.grids)(annotated)

    def to_bytes(self) -> bytes:
        """Return what `save` writes."""
        return _recipe_file.dump(*document_of(self))

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "the recipe") -> Recipe:
        """Read what `to_bytes` returned; errors call it ``name``."""
        return cls(**from_document(*_recipe_file.parse(content, name), name))

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a file: safetensors, with JSON in its metadata.

        It holds no code, and no float weights. It is complete or not there at all.

        Parameters
        ----------
        path : str or path-like
        overwrite : bool, optional
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError, FileNotFoundError, IsADirectoryError
            The message says what to do.
        """
        write_file(path, self.to_bytes(), overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recipe:
        """Read a file that `save` wrote.

        Raises
        ------
        FileNotFoundError, IsADirectoryError
            There is no such file.
        ValueError
            The file is something else, cut short, damaged, or of a newer format.
        """
        path = Path(path)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder, not a recipe")
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        return cls.from_bytes(path.read_bytes(), str(path))

    def __repr__(self) -> str:
        inputs = _listed(self.inputs)
        return (
            f"Recipe(preset {self.config.preset!r}, calibrated by {self.calibrated_by}, "
            f"{len(self.grids)} grids, {inputs})"
        )

    def _with_rules(self, rules: tuple[Rule, ...]) -> Recipe:
        found = rules or self.config.rules
        if tuple(rule.op for rule in found) != self.rules:
            raise ValueError(
                f"this recipe was made with rules for {', '.join(self.rules) or 'no operator'}, "
                "which are code and not in the file: give apply(..., rules=[...]) the same rules"
            )
        return replace(self, config=replace(self.config, rules=found)) if rules else self

    def pass_context(self) -> AbstractContextManager:
        """Return the context to enter so that `opt_level` holds, whatever is open."""
        if tvm.transform.PassContext.current().opt_level == self.opt_level:
            return nullcontext()
        return tvm.transform.PassContext(opt_level=self.opt_level)


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(map(str, specs)) or "nothing"
