"""The integer model with the results of its layers as further outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tvm import IRModule, relax

from ._graph import Graph
from .corrections import Correct
from .realize import Realize
from .recipe import Recipe
from .schemes import scheme_for
from .simulate import Simulate

__all__ = ["Observed"]


class Observed:
    """What `Recipe.apply` computes, made to show what is inside.

    Parameters
    ----------
    calibrated : IRModule
        As `Recipe.calibrated` returns it.
    recipe : Recipe
    layers : sequence of tvm.relax.Var
        Of ``main`` of the calibrated module.

    Attributes
    ----------
    graph : Graph
        Its output is a tuple: what ``main`` returns, then the float value of each layer's result.
    sums : list of (tvm.relax.Expr, numpy.ndarray) or None
        For each layer, the int32 sums that it is made of and their scale.
    mod : IRModule
    """

    def __init__(self, calibrated: IRModule, recipe: Recipe, layers: Sequence[relax.Var]):
        correct = Correct(calibrated, recipe.corrections)
        corrected = correct.run()
        after = Graph(corrected["main"])
        wanted = [correct.values[var] for var in layers]
        # What is returned as it is was bound to another variable in the end.
        wanted = [var if var in after.bindings else after.output for var in wanted]
        if recipe.config.do_simulation:
            rebuild = _Simulated(corrected)
        else:
            rebuild = _Realized(corrected, scheme_for(recipe.config), recipe.config)
        rebuild.wanted = wanted
        self.mod = rebuild.run()
        self.graph = Graph(self.mod["main"])
        self.sums = [_sums(rebuild[var]) for var in wanted]
        self.output, *self.layers = self.graph.output.fields


class _Realized(Realize):
    wanted: Sequence[relax.Expr] = ()

    def result(self, expr):
        values = [self.dequantize(self[var]) for var in self.wanted]
        return relax.Tuple([super().result(expr), *values])


class _Simulated(Simulate):
    wanted: Sequence[relax.Expr] = ()

    def result(self, expr):
        return relax.Tuple([super().result(expr), *map(self.__getitem__, self.wanted)])


def _sums(value) -> tuple[relax.Expr, np.ndarray] | None:
    terms = getattr(value, "terms", None)
    if terms is None:
        found = (value.expr, value.scale) if hasattr(value, "scale") else None
    else:
        found = (terms[0].expr, terms[0].scale) if len(terms) == 1 else None
    return found if found is not None and str(found[0].ty.dtype) == "int32" else None
