"""Sums, means and maxima over axes, and global pools, which are means."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tvm import relax
from tvm.script.ir_builder import tirx as T

from ...quantize._graph import op_name
from ..kernels._kernel import vector
from ..kernels._reduce import Reduction, reduce
from ..kernels._view import View
from ._fuse import Group, shape_of
from ._plan import Plan

__all__ = ["accepts", "plan"]


@dataclass(frozen=True)
class _Row:
    """An operator: how elements combine, of which dtypes, and whether a mean is wanted."""

    combine: Callable[[Any, Any], Any]
    dtypes: tuple[str, ...]
    mean: bool = False
    lowest: bool | None = None  # of the dtype, or the highest; None for zero

    def neutral(self, dtype: str) -> float:
        """Return what changes nothing."""
        if self.lowest is None:
            return 0
        if dtype == "float32":
            return -math.inf if self.lowest else math.inf
        limits = np.iinfo(dtype)
        return int(limits.min if self.lowest else limits.max)


def _add(a: Any, b: Any) -> Any:
    return a + b


ROWS = {
    "relax.sum": _Row(_add, ("int32", "int64", "float32")),
    "relax.mean": _Row(_add, ("float32",), mean=True),
    "relax.max": _Row(T.max, ("int8", "int32", "float32"), lowest=True),
    "relax.min": _Row(T.min, ("int8", "int32", "float32"), lowest=False),
    "relax.nn.global_avg_pool2d": _Row(_add, ("int32", "float32"), mean=True),
    "relax.nn.adaptive_avg_pool2d": _Row(_add, ("float32",), mean=True),
}


def accepts(walk: Any, var: relax.Var) -> bool:
    """Whether there is a kernel: a dtype of the row, and a result that has axes."""
    call = walk.graph.bindings[var]
    dtypes = {str(expr.ty.dtype) for expr in (call, call.args[0])}
    return (
        len(dtypes) == 1
        and dtypes <= set(ROWS[op_name(call)].dtypes)
        and len(shape_of(call)) > 0
        and 0 not in shape_of(call.args[0])
    )


def plan(walk: Any, group: Group) -> Any:
    """Return loops over the results, around loops over what each combines."""
    call = walk.graph.bindings[group.anchor]
    row, dtype = ROWS[op_name(call)], str(call.ty.dtype)
    reduced, keepdims = _axes(call)
    source, casts = call.args[0], []
    while source in group.members:  # a cast that the loads make
        inner = walk.graph.bindings[source]
        casts.append(str(inner.ty.dtype))
        source = inner.args[0]
    value = walk.value(source)
    rank = len(value.view.shape)
    kept = [a for a in range(rank) if a not in reduced]
    view = _merged(value.view.permute([*kept, *reduced]), len(kept))
    axes = tuple(kept if keepdims else range(len(kept)))
    count = math.prod(value.view.shape[a] for a in reduced)

    def load(array, index, axis, lanes):
        loaded = array.load(index, axis, lanes)
        for cast in reversed(casts):
            loaded = T.cast(loaded, vector(cast, lanes))
        return loaded

    def result(total, lanes):
        if not row.mean:
            return total
        divisor = T.cast(count, dtype)
        divisor = divisor if lanes == 1 else T.broadcast(divisor, lanes)
        return total / divisor if dtype == "float32" else T.truncdiv(total, divisor)

    neutral = row.neutral(dtype)
    axis = _along(view, len(kept))
    if not kept:  # one result: an axis of one element, so that there is something to loop over
        view = replace(view, shape=(1, *view.shape), strides=(0, *view.strides), halo=())
        view, axis, axes = replace(view, halo=((0, 0),) * len(view.shape)), 0, (rank - 1,)
    what = Reduction(
        max(len(kept), 1), axes, len(call.ty.shape), dtype, load, row.combine, neutral, result
    )

    def body(kernel, arrays, finish):
        reduce(kernel, what, arrays[0], axis, finish)

    return Plan([(value.expr, view)], body, op_name(call), axis=axes[axis])


def _axes(call: relax.Call) -> tuple[list[int], bool]:
    """Return the axes that go, and whether they stay with one element."""
    rank = len(call.args[0].ty.shape)
    if op_name(call).startswith("relax.nn."):
        return [2, 3], True
    axes = call.attrs.axis
    axes = range(rank) if axes is None else {int(axis) % rank for axis in axes}
    return sorted(axes), bool(call.attrs.keepdims)


def _merged(view: View, kept: int) -> View:
    """Make one axis of those that go, where strides allow."""
    gone = math.prod(view.shape[kept:])
    whole = view.reshape((*view.shape[:kept], gone))
    return view if whole is None else whole


def _along(view: View, kept: int) -> int:
    """Choose the axis of the results: the one whose elements are neighbours, else the longest."""
    unit = view.vector_axis()
    if unit is not None and unit < kept:
        return unit
    return max(range(kept), key=lambda a: view.shape[a], default=0)
