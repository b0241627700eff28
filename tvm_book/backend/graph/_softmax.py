"""Softmax and its logarithm, along one axis."""

from __future__ import annotations

from typing import Any

from ...quantize._graph import op_name
from ..kernels._rows import Rows
from ..kernels._softmax import softmax
from ._fuse import Group, shape_of
from ._layout import allocate
from ._plan import Plan

__all__ = ["accepts", "along", "plan"]


def accepts(walk: Any, var: Any) -> bool:
    """Whether there is a kernel: float32."""
    call = walk.graph.bindings[var]
    shape = shape_of(call)
    return str(call.ty.dtype) == "float32" and len(shape) > 0 and 0 not in shape


def plan(walk: Any, group: Group) -> Any:
    """Return loops over all rows along the axis."""
    call = walk.graph.bindings[group.anchor]
    name, rank = op_name(call), len(shape_of(call))
    axis = int(call.attrs.axis) % rank
    value = along(walk, walk.value(call.args[0]), axis)
    kept = tuple(a for a in range(rank) if a != axis)
    rows = Rows(kept, (axis,), lambda index: index)

    def body(kernel, arrays, finish):
        softmax(kernel, arrays[0], rows, finish, name == "relax.nn.log_softmax")

    return Plan([(value.expr, value.view)], body, name, axis=axis)


def along(walk: Any, value: Any, axis: int) -> Any:
    """Return a tensor whose elements are neighbours on an axis."""
    view = value.view
    if view.strides[axis] == 1 or view.shape[axis] == 1:
        return value
    return walk.copy(value, allocate(view.shape, view.dtype, axis))
