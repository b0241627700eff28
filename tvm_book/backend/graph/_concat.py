"""Concatenation of tensors along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from ..kernels._concat import concat
from ._fuse import Group, shape_of
from ._plan import Plan

__all__ = ["accepts", "plan"]

VECTORS = 4  # bytes of a vector are so many times its lanes of 32 bits
DTYPES = ("int8", "uint8", "int32", "int64", "float32")


def accepts(walk: Any, var: relax.Var) -> bool:
    """Whether there is a kernel: operands written out, of a dtype that vectors hold."""
    call = walk.graph.bindings[var]
    return (
        isinstance(call.args[0], relax.Tuple)
        and str(call.ty.dtype) in DTYPES
        and len(shape_of(call)) > 0
        and all(0 not in shape_of(field) for field in call.args[0].fields)
    )


def plan(walk: Any, group: Group) -> Any:
    """Return loops over the lines of each operand."""
    call = walk.graph.bindings[group.anchor]
    shape = shape_of(call)
    along = (0 if call.attrs.axis is None else int(call.attrs.axis)) % len(shape)
    values = [walk.value(field) for field in call.args[0].fields]
    axis = _axis(walk, group, values)
    lanes = walk.isa.lanes * VECTORS // np.dtype(str(call.ty.dtype)).itemsize

    def body(kernel, arrays, finish):
        concat(kernel, arrays, along, axis, lanes, finish)

    return Plan([(value.expr, value.view) for value in values], body, "concat", axis=axis)


def _axis(walk: Any, group: Group, values: list[Any]) -> int:
    """Choose along which axis vectors lie: as readers want it, else as in the largest operand."""
    rank = len(shape_of(group.result))
    channels = walk.wants.image_axis(group.result) if rank > 2 else None
    largest = max(values, key=lambda value: np.prod(value.view.shape))
    axes = (channels, largest.view.vector_axis(), rank - 1)
    return next(axis for axis in axes if axis is not None)
