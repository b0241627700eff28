"""Relax spellings of padding and rolling, under the conventions of `_torch_layers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm.relax import op

from ._torch_layers import constant, shape_of


def _pad(emit, node, self, pad, mode, value):
    # torch lists the last axis first
    width = [0] * (2 * len(shape_of(self)))
    for position in range(0, len(pad), 2):
        width[len(width) - position - 2 : len(width) - position] = pad[position : position + 2]
    return emit(op.nn.pad(self, width, pad_mode=mode, pad_value=float(value or 0)))


def _roll(emit, node, self, shifts, dims):
    sizes = shape_of(self)
    flat = self if dims else emit(op.reshape(self, [-1]))
    for shift, axis in zip(shifts, dims or [0], strict=True):
        size = shape_of(flat)[axis]
        rows = constant(np.roll(np.arange(size), shift), "int64")
        flat = emit(op.take(flat, rows, axis=axis, mode="clip"))
    return flat if dims else emit(op.reshape(flat, sizes))


PADDING: dict[str, Callable[..., Any]] = {"pad.default": _pad, "roll.default": _roll}
