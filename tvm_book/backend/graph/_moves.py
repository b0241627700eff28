"""Operators that only move elements: a change of the view, after a copy where strides fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tvm import relax
from tvm.ir import GenericConst

from ...quantize._graph import op_name
from ..kernels._view import View, dense
from ._fuse import shape_of
from ._layout import allocate

__all__ = ["MOVES", "move"]


def _reshape(view: View, call: relax.Call, shape: tuple[int, ...]) -> View | None:
    return view.reshape(shape)


def _permute(view: View, call: relax.Call, shape: tuple[int, ...]) -> View | None:
    rank = len(view.shape)
    axes = call.attrs.axes
    axes = range(rank)[::-1] if axes is None else [int(a) % rank for a in axes]
    return view.permute(list(axes))


def _pad(view: View, call: relax.Call, shape: tuple[int, ...]) -> View | None:
    return view.pad(_widths(call), float(call.attrs.pad_value))


def _widths(call: relax.Call) -> list[tuple[int, int]]:
    widths = [int(w) for w in call.attrs.pad_width]
    return list(zip(widths[::2], widths[1::2], strict=True))


MOVES: dict[str, Callable[[View, relax.Call, tuple[int, ...]], View | None]] = {
    "relax.reshape": _reshape,
    "relax.squeeze": _reshape,
    "relax.expand_dims": _reshape,
    "relax.flatten": _reshape,
    "relax.permute_dims": _permute,
    "relax.nn.pad": _pad,
}


def move(walk: Any, var: relax.Var, call: relax.Expr) -> Any:
    """Return the moved value; None if the operator is none of these."""
    name = op_name(call)
    if name not in MOVES or isinstance(call.args[0], GenericConst):
        return None
    if name == "relax.nn.pad" and str(call.attrs.pad_mode) != "constant":
        return None
    value, shape = walk.value(call.args[0]), shape_of(var)
    view = MOVES[name](value.view, call, shape)
    if view is None:
        target = dense(value.view.shape, value.view.dtype)
        if name == "relax.nn.pad":
            axis = value.view.vector_axis()
            axis = len(shape) - 1 if axis is None else axis
            axis = 1 if walk.wants.images(var) else axis
            widths, inner = _widths(call), walk.wants.halo(var)
            fill = float(call.attrs.pad_value)
            if inner[1] == fill:
                pairs = zip(widths, inner[0], strict=True)
                widths = [(b + d, a + c) for (b, a), (d, c) in pairs]
            target = allocate(value.view.shape, value.view.dtype, axis, widths, fill)
        value = walk.copy(value, target)
        view = MOVES[name](value.view, call, shape)
    return replace(value, view=view)
