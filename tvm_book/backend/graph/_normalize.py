"""Layer, group, instance and root-mean-square normalization."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax
from tvm.ir import GenericConst

from ...quantize._graph import op_name, to_numpy
from ..kernels._normalize import normalize
from ..kernels._rows import Rows
from ._fuse import Group, shape_of
from ._layout import MULTIPLE
from ._plan import Plan
from ._program import constant_view
from ._softmax import along

__all__ = ["accepts", "plan"]


def accepts(walk: Any, var: relax.Var) -> bool:
    """Whether there is a kernel: float32, and constants to multiply by and to add."""
    call = walk.graph.bindings[var]
    constant = all(isinstance(arg, GenericConst) for arg in call.args[1:])
    return constant and str(call.ty.dtype) == "float32" and 0 not in shape_of(call)


def plan(walk: Any, group: Group) -> Any:
    """Return loops over all that has a mean of its own."""
    call = walk.graph.bindings[group.anchor]
    name, shape = op_name(call), shape_of(call)
    axes = sorted(int(a) % len(shape) for a in call.attrs.axes)
    value = walk.value(call.args[0])
    axis = _inner(value.view, axes)
    value = along(walk, value, axis)
    view, rows = _rows(call, value.view, axes, axis)
    arrays = _affine(call, shape, axes)
    laid = [None if a is None else constant_view(a, shape, axis, MULTIPLE) for a in arrays]
    inputs = [(relax.const(array, "float32"), v) for array, v in filter(None, laid)]

    def body(kernel, sources, finish):
        rest = iter(sources[1:])
        affine = [None if a is None else next(rest) for a in laid]
        centred, epsilon = name != "relax.nn.rms_norm", float(call.attrs.epsilon)
        normalize(kernel, sources[0], rows, affine, epsilon, finish, axis, centred)

    return Plan([(value.expr, view), *inputs], body, name, axis=axis)


def _inner(view: Any, axes: list[int]) -> int:
    """Choose the axis along which vectors lie: where neighbours are, unless they are few."""
    own = view.vector_axis()
    if own in axes and view.shape[own] >= MULTIPLE:
        return own
    return max(axes, key=lambda a: (view.shape[a], a))


def _rows(call: relax.Call, view: Any, axes: list[int], axis: int) -> tuple[Any, Rows]:
    """Return the input as the kernel sees it, and what has a mean of its own."""
    reduced = [a for a in axes if a != axis] + [axis]
    if op_name(call) != "relax.nn.group_norm":
        kept = tuple(a for a in range(len(view.shape)) if a not in axes)
        return view, Rows(kept, tuple(reduced), lambda index: index)
    # A further axis: the channels of a group follow the groups.
    channel, groups = _channel(call), int(call.attrs.num_groups)
    each = view.shape[channel] // groups
    split = view.reshape((*view.shape[:channel], groups, each, *view.shape[channel + 1 :]))
    later = [a + (a > channel) for a in reduced]
    kept = [a for a in range(len(split.shape)) if a not in later and a != channel + 1]

    def place(index):
        both = index[channel] * each + index[channel + 1]
        return [*index[:channel], both, *index[channel + 2 :]]

    return split, Rows(tuple(kept), (channel + 1, *later), place)


def _channel(call: relax.Call) -> int:
    return int(call.attrs.channel_axis) % len(call.ty.shape)


def _affine(call: relax.Call, shape: tuple[int, ...], axes: list[int]) -> list[Any]:
    """Return factor and summand in the rank of the result, None where they change nothing."""
    if op_name(call) in ("relax.nn.group_norm", "relax.nn.instance_norm"):
        axes = [_channel(call)]
    seen = [n if a in axes else 1 for a, n in enumerate(shape)]
    arrays = [to_numpy(arg).reshape(seen) for arg in call.args[1:]]
    arrays += [np.zeros(seen, "float32")] * (2 - len(arrays))
    return [None if np.all(a == k) else a for a, k in zip(arrays, (1, 0), strict=True)]
