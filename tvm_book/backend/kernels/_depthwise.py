"""Depthwise convolutions: channels are the lanes, each multiplies its own window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax
from tvm.script.ir_builder import tirx as T

from ..isa import Dot
from ._kernel import Kernel, vector
from ._view import View

__all__ = ["depthwise"]


def depthwise(
    walk: Any, dot: Dot, images: Any, view: View, weights: np.ndarray, begin: np.ndarray | None
) -> tuple[Callable, list[tuple[relax.Expr, View]]]:
    """Return the loops, and the constants that they read behind the images."""
    channels, _, height, width = weights.shape
    lanes = walk.isa.lanes
    panels = -(-channels // lanes)
    wide = "int32" if dot.acc == "int32" else "float32"
    full = np.zeros((height * width, panels * lanes), wide)
    full[:, :channels] = weights.reshape(channels, -1).T
    batch, _, rows, columns = images.shape
    (down, right), (dy, dx) = images.strides, images.dilation
    n, _, y, x = view.strides
    block = next(m for m in (7, 8, 6, 5, 4, 3, 2, 1) if columns % m == 0 or m == 4)
    inputs = []
    for array in (full.reshape(-1), begin):
        if array is not None:
            dtype = str(array.dtype)
            inputs.append(
                (relax.const(array, dtype), View(array.shape, dtype, dtype, array.shape, (1,)))
            )

    def body(kernel: Kernel, arrays: list[Any], finish: Callable) -> None:
        image, table = arrays[0], arrays[1]
        first = arrays[2] if begin is not None else None

        def tile(b: Any, row: Any, start: Any, count: int, panel: Any) -> None:
            acc = T.alloc_buffer((count * lanes,), dot.acc, scope="local")
            where = [T.ramp(i * lanes, 1, lanes) for i in range(count)]
            value = T.broadcast(T.cast(0, dot.acc), lanes)
            if first is not None:
                value = T.bind(first.buffer[T.ramp(panel * lanes, 1, lanes)])
            for i in range(count):
                T.buffer_store(acc, value, [where[i]])
            base = T.bind(
                T.cast(
                    view.offset + b * n + row * (y * down) + start * (x * right) + panel * lanes,
                    "int32",
                )
            )
            for ky in range(height):
                for kx in range(width):
                    at = (ky * width + kx) * panels * lanes + panel * lanes
                    weight = T.bind(table.buffer[T.ramp(at, 1, lanes)])
                    for i in range(count):
                        spot = base + (ky * dy * y + kx * dx * x + i * right * x)
                        loaded = image.buffer[T.ramp(spot, 1, lanes)]
                        pixel = T.cast(loaded, vector(dot.acc, lanes))
                        if dot.acc == "float32":
                            pixel = loaded
                        T.buffer_store(acc, acc[where[i]] + pixel * weight, [where[i]])
            for i in range(count):
                finish(
                    [b, panel * lanes, row, start + i],
                    lanes,
                    lambda at, m, i=i: (
                        acc[i * lanes + at] if m == 1 else acc[T.ramp(i * lanes + at, 1, m)]
                    ),
                )

        with kernel.parallel([batch, rows]) as (b, row):
            with T.serial(0, panels) as panel:
                full_blocks, rest = divmod(columns, block)
                if full_blocks:
                    with T.serial(0, full_blocks) as number:
                        tile(b, row, number * block, block, panel)
                if rest:
                    tile(b, row, full_blocks * block, rest, panel)

    return body, inputs
