"""Relax spellings of ONNX's pooling and blocks of pixels, as `_onnx_layers` has them."""

from __future__ import annotations

import math
from collections.abc import Callable

from tvm.relax import op

from ._onnx_layers import window
from ._onnx_node import Node
from ._torch_layers import SPATIAL, Emit, shape_of


def _pool(kind: str) -> Callable:
    def convert(emit: Emit, node: Node, x):
        if node.count > 1:
            raise NotImplementedError("the positions of the largest values have no counterpart")
        kernel = list(node["kernel_shape"])
        sizes = shape_of(x)[2:]
        strides, dilations, padding = window(node, sizes, kernel)
        half = len(kernel)
        begins, ends = padding[:half], padding[half:]
        counted = bool(node["count_include_pad"])
        if node["ceil_mode"]:
            last = _last_window(sizes, kernel, strides, dilations, padding)
            if counted and any(last):
                # Only the padding that the model asks for counts, not what rounding up adds.
                x = emit(op.nn.pad(x, [0] * 4 + _interleave(begins, ends)))
                begins, ends, counted = [0] * half, [0] * half, False
            ends = [end + more for end, more in zip(ends, last, strict=True)]
        pool = getattr(op.nn, f"{kind}_pool{half}d")
        return emit(
            pool(
                x,
                pool_size=kernel,
                strides=strides,
                padding=begins + ends,
                dilation=dilations,
                count_include_pad=counted and kind == "avg",
                layout=f"NC{SPATIAL[half]}",
            )
        )

    return convert


def _last_window(sizes, kernel, strides, dilations, padding) -> list[int]:
    """Return how much each axis grows so that the number of windows is rounded up.

    A window that would begin behind the input is left out, as in
    https://onnx.ai/onnx/operators/onnx__MaxPool.html.
    """
    half, added = len(sizes), []
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        begin, end = padding[axis], padding[half + axis]
        extent = (kernel[axis] - 1) * dilations[axis] + 1
        count = math.ceil((size + begin + end - extent) / stride) + 1
        if (count - 1) * stride >= size + begin:
            count -= 1
        added.append(max(0, (count - 1) * stride + extent - size - begin - end))
    return added


def _interleave(begins: list[int], ends: list[int]) -> list[int]:
    return [amount for pair in zip(begins, ends, strict=True) for amount in pair]


def _global_average(emit: Emit, node: Node, x):
    spatial = len(shape_of(x)) - 2
    if spatial not in SPATIAL:
        return emit(op.mean(x, list(range(2, spatial + 2)), keepdims=True))
    pool = getattr(op.nn, f"adaptive_avg_pool{spatial}d")
    return emit(pool(x, [1] * spatial, layout=f"NC{SPATIAL[spatial]}"))


def _global_max(emit: Emit, node: Node, x):
    return emit(op.max(x, list(range(2, len(shape_of(x)))), keepdims=True))


def _depth_to_space(emit: Emit, node: Node, x):
    batch, channels, height, width = shape_of(x)
    size = node["blocksize"]
    inner = channels // size**2
    if node["mode"] == "CRD":  # torch's pixel_shuffle
        shape, axes = [batch, inner, size, size, height, width], [0, 1, 4, 2, 5, 3]
    else:
        shape, axes = [batch, size, size, inner, height, width], [0, 3, 4, 1, 5, 2]
    blocks = emit(op.permute_dims(emit(op.reshape(x, shape)), axes))
    return emit(op.reshape(blocks, [batch, inner, height * size, width * size]))


def _space_to_depth(emit: Emit, node: Node, x):
    batch, channels, height, width = shape_of(x)
    size = node["blocksize"]
    rows, columns = height // size, width // size
    axes = [0, 1, 3, 5, 2, 4] if node["mode"] == "CRD" else [0, 3, 5, 1, 2, 4]
    blocks = emit(op.reshape(x, [batch, channels, rows, size, columns, size]))
    blocks = emit(op.permute_dims(blocks, axes))
    return emit(op.reshape(blocks, [batch, channels * size**2, rows, columns]))


ONNX_IMAGES: dict[str, Callable] = {
    "MaxPool": _pool("max"),
    "AveragePool": _pool("avg"),
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
