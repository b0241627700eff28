"""Relax spellings of ONNX's shape operators, under the conventions of `_onnx_layers`.

Shapes, axes and indices of slices have to be known at import, as they are in a model whose inputs
have static shapes: what computes them is evaluated then and there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from tvm.relax import op

from ._onnx_node import Node
from ._torch_layers import Emit, constant, shape_of


def _reshape(emit: Emit, node: Node, x, shape):
    sizes, wanted = shape_of(x), node.known(1, "sizes").tolist()
    if not node["allowzero"]:
        wanted = [sizes[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    if -1 in wanted:
        rest = math.prod(size for size in wanted if size != -1)
        wanted[wanted.index(-1)] = math.prod(sizes) // rest
    # Even one that changes nothing stays: to the quantizer it is a boundary.
    return emit(op.reshape(x, wanted))


def _flatten(emit: Emit, node: Node, x):
    sizes, axis = shape_of(x), node["axis"]
    axis += len(sizes) if axis < 0 else 0
    return emit(op.reshape(x, [math.prod(sizes[:axis]), math.prod(sizes[axis:])]))


def _squeeze(emit: Emit, node: Node, x, _=None):
    axes = node.axes(1)
    if axes is None:
        axes = [axis for axis, size in enumerate(shape_of(x)) if size == 1]
    return emit(op.squeeze(x, [axis % len(shape_of(x)) for axis in axes])) if axes else x


def _unsqueeze(emit: Emit, node: Node, x, _=None):
    axes = node.axes(1)
    rank = len(shape_of(x)) + len(axes)
    return emit(op.expand_dims(x, sorted(axis % rank for axis in axes)))


def _transpose(emit: Emit, node: Node, x):
    return emit(op.permute_dims(x, list(node["perm"]) if node["perm"] else None))


def _concat(emit: Emit, node: Node, *parts):
    return emit(op.concat(list(parts), axis=node["axis"] % len(shape_of(parts[0]))))


def _split(emit: Emit, node: Node, x, _=None):
    axis = node["axis"] % len(shape_of(x))
    size = shape_of(x)[axis]
    if node.has(1):
        sizes = node.known(1, "sizes").tolist()
    else:
        part = math.ceil(size / node.count)
        sizes = [min(part, size - part * i) for i in range(node.count)]
    if len(sizes) == 1:
        return [x]
    parts = emit(op.split(x, list(itertools.accumulate(sizes[:-1])), axis=axis))
    return [emit(parts[i]) for i in range(len(sizes))]


def _slice(emit: Emit, node: Node, x, *_):
    sizes = shape_of(x)
    starts, ends = node.known(1, "starts").tolist(), node.known(2, "ends").tolist()
    axes = node.known(3, "axes").tolist() if node.has(3) else list(range(len(starts)))
    steps = node.known(4, "steps").tolist() if node.has(4) else [1] * len(axes)
    forward = []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis %= len(sizes)
        rows = range(sizes[axis])[start:end:step]  # Python's rules are those of ONNX
        if step < 0:
            rows = constant(list(rows), "int64")
            x = emit(op.take(x, rows, axis=axis, mode="clip"))
        else:
            forward.append((axis, rows.start, rows.stop, step))
    return emit(op.strided_slice(x, *map(list, zip(*forward, strict=True)))) if forward else x


_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def _pad(emit: Emit, node: Node, x, *_):
    rank = len(shape_of(x))
    amounts = node.known(1, "sizes").tolist()
    axes = node.known(3, "axes").tolist() if node.has(3) else range(rank)
    half = len(amounts) // 2
    sides = [(0, 0)] * rank
    for axis, begin, end in zip(axes, amounts[:half], amounts[half:], strict=True):
        sides[axis % rank] = (begin, end)
    cut = [(axis, begin, end) for axis, (begin, end) in enumerate(sides) if min(begin, end) < 0]
    for axis, begin, end in cut:
        size = shape_of(x)[axis]
        x = emit(op.strided_slice(x, [axis], [max(-begin, 0)], [size - max(-end, 0)]))
    width = [max(amount, 0) for side in sides for amount in side]
    if not any(width):
        return x
    value = node.known(2, "constant value").item() if node.has(2) else 0
    mode = _PAD_MODES[node["mode"]]
    return emit(op.nn.pad(x, width, pad_mode=mode, pad_value=value))


def _expand(emit: Emit, node: Node, x, shape):
    wanted = list(np.broadcast_shapes(shape_of(x), tuple(node.known(1, "sizes").tolist())))
    return x if wanted == shape_of(x) else emit(op.broadcast_to(x, wanted))


def _tile(emit: Emit, node: Node, x, repeats):
    return emit(op.tile(x, node.known(1, "repeats").tolist()))


def _gather(emit: Emit, node: Node, x, index):
    axis = node["axis"] % len(shape_of(x))
    size = shape_of(x)[axis]
    if not node.operands[1].is_known:
        # Relax has no negative indices; a remainder makes them right, and others harmless.
        return emit(op.take(x, index, axis=axis, mode="wrap"))
    rows = np.asarray(node.operands[1].array, "int64") % size
    if rows.ndim == 0:  # what torch calls select
        begin = int(rows)
        return emit(op.squeeze(emit(op.strided_slice(x, [axis], [begin], [begin + 1])), [axis]))
    return emit(op.take(x, constant(rows, "int64"), axis=axis, mode="clip"))


def _one_hot(emit: Emit, node: Node, index, *_):
    depth = int(node.known(1, "depth").item())
    off, on = node.known(2, "values")
    rank = len(shape_of(index)) + 1
    axis = node["axis"] % rank
    index = emit(op.astype(emit(op.expand_dims(index, [axis])), "int64"))
    negative = emit(op.less(index, constant(0, "int64")))
    index = emit(op.where(negative, emit(op.add(index, constant(depth, "int64"))), index))
    places = np.arange(depth).reshape([-1 if i == axis else 1 for i in range(rank)])
    hit = emit(op.equal(index, constant(places, "int64")))
    return emit(op.where(hit, constant(on, str(on.dtype)), constant(off, str(off.dtype))))


ONNX_SHAPES: dict[str, Callable] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Pad": _pad,
    "Expand": _expand,
    "Tile": _tile,
    "Gather": _gather,
    "OneHot": _one_hot,
}
