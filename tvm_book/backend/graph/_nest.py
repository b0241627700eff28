"""Convolutions as matrix products: which loops they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import relax

from ..isa import Dot
from ..kernels._blocking import choose
from ..kernels._gemm import Loop, Nest, gemm, pack
from ..kernels._gemm_amx import pad_runs
from ..kernels._view import View

__all__ = ["Images", "constants", "convolve"]

CHANNELS = 1  # the axis of NCHW


@dataclass(frozen=True)
class Images:
    """An ordinary convolution of images whose padding is in place.

    Attributes
    ----------
    shape : tuple of int
        Of the result, (N, C, H, W).
    strides, dilation : tuple of (int, int)
    groups : int
    """

    shape: tuple[int, ...]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


def convolve(
    walk: Any, dot: Dot, images: Images, view: View, weights: np.ndarray, begin: np.ndarray | None
) -> tuple[Callable, list[tuple[relax.Expr, View]]]:
    """Return what emits a convolution, and the constants that it reads behind the images."""
    nest, matrix = pad_runs(*_nest(dot, images, view, weights), dot, view.beyond)
    rows = (nest.rows.extent, nest.columns, nest.depth)
    outer = math.prod(loop.extent for loop in nest.outer)
    blocking = choose(walk.isa, dot, rows, outer, walk.threads, nest.shift[0], nest.rows.a)

    def body(kernel, arrays, finish):
        gemm(kernel, dot, nest, blocking, (*arrays, None)[:3], finish)

    return body, constants(pack(matrix, dot), begin)


def constants(*arrays: np.ndarray | None) -> list[tuple[relax.Expr, View]]:
    """Return arrays as operands of a kernel; a missing one is left out."""
    found = []
    for array in arrays:
        if array is not None:
            flat = np.ascontiguousarray(array).reshape(-1)
            view = View(flat.shape, str(flat.dtype), str(flat.dtype), flat.shape, (1,))
            found.append((relax.const(flat, str(flat.dtype)), view))
    return found


def _nest(dot: Dot, images: Images, view: View, weights: np.ndarray) -> tuple[Nest, np.ndarray]:
    """Return the loops, and the weights as a matrix (depth, columns) in their order."""
    out_channels, in_channels, height, width = weights.shape
    (down, right), (dy, dx) = images.strides, images.dilation
    batch, _, rows, columns = images.shape
    groups = images.groups
    n, _, y, x = view.strides
    shift, taken = (0, 0), in_channels
    kernel = weights.transpose(2, 3, 1, 0)  # height, width, input, output
    if groups > 1:
        kernel, taken, shift = _grouped(weights, groups, dot)
    missing = -taken % dot.group
    together = groups == 1 and dx == 1 and taken + missing <= x
    whole = x if together and width > 1 else taken + missing
    if whole - taken > (view.slack if together else missing) and whole > taken + missing:
        together, whole = False, taken + missing
    full = np.zeros((height, width, whole, out_channels), weights.dtype)
    full[:, :, :taken] = kernel
    taps = [Loop(height, y * dy)]
    run = whole
    if together and width > 1:
        run = width * whole
    else:
        taps.append(Loop(width, x * dx))
    nest = Nest(
        outer=(Loop(batch, n, 0), Loop(rows, y * down, 2)),
        rows=Loop(columns, x * right, 3),
        columns=out_channels,
        column_axis=CHANNELS,
        taps=tuple(taps),
        run=run,
        start=view.offset,
        shift=shift,
    )
    return nest, full.reshape(-1, out_channels)


def _grouped(weights: np.ndarray, groups: int, dot: Dot) -> tuple[np.ndarray, int, tuple[int, int]]:
    """Return weights for vectors of output channels, zero where another group's inputs are.

    A vector of output channels belongs to one group or to several whole ones, where the sizes
    allow; then it reads the inputs of these only. Otherwise every channel reads all.
    """
    out_channels, size, height, width = weights.shape
    per_group = out_channels // groups
    lanes = dot.lanes
    if per_group % lanes == 0 and size % dot.group == 0:
        return weights.transpose(2, 3, 1, 0), size, (per_group, size)
    covered = lanes // per_group if lanes % per_group == 0 else 0
    if not covered or out_channels % lanes or (covered * size) % dot.group:
        covered = groups
    taken = covered * size
    kernel = np.zeros((height, width, taken, out_channels), weights.dtype)
    for channel in range(out_channels):
        first = channel // per_group % covered * size
        kernel[:, :, first : first + size, channel] = weights[channel].transpose(1, 2, 0)
    shift = (0, 0) if covered == groups else (lanes, taken)
    return kernel, taken, shift
