"""Operators that only move elements: a change of the view, after a copy where strides fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tvm import relax
from tvm.ir import GenericConst

from ...quantize._graph import Graph, op_name
from ..kernels._view import View, dense
from ._fuse import shape_of
from ._layout import allocate

__all__ = ["is_move", "is_split", "move", "permutation", "source_axes"]


def _reshape(view: View, call: relax.Call, shape: tuple[int, ...]) -> View | None:
    return view.reshape(shape)


def _permute(view: View, call: relax.Call, shape: tuple[int, ...]) -> View | None:
    return view.permute(permutation(call))


def permutation(call: relax.Call) -> list[int]:
    """Return which axis of its operand each axis of a ``permute_dims`` is."""
    rank = len(call.ty.shape)
    axes = call.attrs.axes
    return [int(a) % rank for a in axes] if axes is not None else list(range(rank))[::-1]


def _pad(view: View, call: relax.Call, shape: tuple[int, ...]) -> View | None:
    return view.pad(_widths(call), float(call.attrs.pad_value))


def _widths(call: relax.Call) -> list[tuple[int, int]]:
    widths = [int(w) for w in call.attrs.pad_width]
    return list(zip(widths[::2], widths[1::2], strict=True))


def _broadcast(view: View, call: relax.Call, shape: tuple[int, ...]) -> View | None:
    return view.broadcast(shape)


def _slice(view: View, call: relax.Call, shape: tuple[int, ...]) -> View | None:
    for axis, taken in _ranges(call):
        view = view.slice(axis, taken.start, len(taken), taken.step)
    return view


def _ranges(call: relax.Call) -> list[tuple[int, range]]:
    """Return the axes that a ``strided_slice`` cuts, and the indices that it takes of each."""
    numbers = [[int(n) for n in arg.fields] for arg in call.args[1:]]
    axes, begins, ends = numbers[:3]
    steps = numbers[3] if len(numbers) > 3 else [1] * len(axes)
    shape = shape_of(call.args[0])
    found = []
    for axis, *ends_of_it in zip(axes, begins, ends, steps, strict=True):
        axis %= len(shape)
        found.append((axis, range(shape[axis])[slice(*ends_of_it)]))
    return found


def _parts(call: relax.Call) -> list[tuple[int, range]]:
    """Return for each part of a ``split`` the axis, and the indices that it takes."""
    shape, cuts = shape_of(call.args[0]), call.attrs.indices_or_sections
    axis = int(call.attrs.axis) % len(shape)
    size = shape[axis]
    if hasattr(cuts, "value") or isinstance(cuts, int):
        step = -(-size // int(cuts))
        edges = [min(i * step, size) for i in range(int(cuts) + 1)]
    else:
        edges = [0, *(int(c) for c in cuts), size]
    return [(axis, range(a, b)) for a, b in zip(edges, edges[1:], strict=False)]


MOVES: dict[str, Callable[[View, relax.Call, tuple[int, ...]], View | None]] = {
    "relax.reshape": _reshape,
    "relax.squeeze": _reshape,
    "relax.expand_dims": _reshape,
    "relax.flatten": _reshape,
    "relax.permute_dims": _permute,
    "relax.nn.pad": _pad,
    "relax.broadcast_to": _broadcast,
    "relax.strided_slice": _slice,
}


def is_split(call: relax.Expr) -> bool:
    """Whether parts of this are slices of its operand."""
    return (
        op_name(call) == "relax.split"
        and not isinstance(call.args[0], GenericConst)
        and all(len(taken) for _, taken in _parts(call))
    )


def part_of(graph: Graph, call: relax.Expr) -> tuple[relax.Expr, int, range] | None:
    """Return what a part of a ``split`` is: the operand, an axis, and the indices there."""
    source = call.tuple_value if isinstance(call, relax.TupleGetItem) else None
    whole = graph.bindings.get(source) if isinstance(source, relax.Var) else None
    return (whole.args[0], *_parts(whole)[call.index]) if is_split(whole) else None


def is_move(graph: Graph, var: relax.Var) -> bool:
    """Whether a variable's operator changes no more than the view."""
    call = graph.bindings[var]
    if is_split(call) or part_of(graph, call) is not None:
        return True
    name = op_name(call)
    if name not in MOVES or isinstance(call.args[0], GenericConst):
        return False
    if any(0 in shape_of(expr) for expr in (var, call.args[0])):
        return False
    if name == "relax.nn.pad":
        return str(call.attrs.pad_mode) == "constant" and min(map(min, _widths(call))) >= 0
    if name == "relax.strided_slice":
        constant = all(hasattr(arg, "fields") for arg in call.args[1:])
        return constant and all(taken.step > 0 for _, taken in _ranges(call))
    return True


def source_axes(graph: Graph, var: relax.Var) -> list[int | None] | None:
    """Return which whole axis of its operand each axis of a move is; None if that is not said.

    An axis of which a part is taken is None.
    """
    call = graph.bindings[var]
    if is_split(call):
        return None
    part = part_of(graph, call)
    axes: list[int | None] = list(range(len(shape_of(var))))
    name = op_name(call)
    if name == "relax.permute_dims":
        return permutation(call)
    if part is None and name != "relax.strided_slice":
        return None
    for axis, _ in [part[1:]] if part is not None else _ranges(call):
        axes[axis] = None
    return axes


def move(walk: Any, var: relax.Var, call: relax.Expr) -> Any:
    """Return the moved value; None if the operator is none of these."""
    if not is_move(walk.graph, var):
        return None
    part = part_of(walk.graph, call)
    if part is not None:
        source, axis, taken = part
        value = walk.value(source)
        return replace(value, view=value.view.slice(axis, taken.start, len(taken)))
    name = op_name(call)
    value, shape = walk.value(call.args[0]), shape_of(var)
    view = MOVES[name](value.view, call, shape)
    if view is None:
        value = walk.copy(value, _room(walk, var, call, value.view))
        view = MOVES[name](value.view, call, shape)
    return replace(value, view=view)


def _room(walk: Any, var: relax.Var, call: relax.Call, view: View) -> View:
    """Return an array for the operand in which the move is a change of the view."""
    last = max(len(view.shape) - 1, 0)
    if op_name(call) != "relax.nn.pad":
        if walk.wants.plain(var):
            return dense(view.shape, view.dtype)
        return allocate(view.shape, view.dtype, last, multiple=1)
    axis = walk.wants.image_axis(var)
    if axis is None:
        axis = view.vector_axis()
    axis = last if axis is None else axis
    widths, fill = _widths(call), float(call.attrs.pad_value)
    inner, inner_fill = walk.wants.halo(var)
    if inner_fill == fill:
        pairs = zip(widths, inner, strict=True)
        widths = [(b + d, a + c) for (b, a), (d, c) in pairs]
    return allocate(view.shape, view.dtype, axis, widths, fill)
