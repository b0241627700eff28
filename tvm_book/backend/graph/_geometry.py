"""Convolutions of one and two dimensions, ordinary and transposed, as ordinary ones of images.

A transposed convolution with stride `s` writes output ``s * q + r`` from those taps of its kernel
that meet an input there, which are the same for all `q`: for each `r` it is an ordinary convolution
of stride 1 (sub-pixel convolution, Shi et al. 2016, arXiv:1609.07009).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from tvm import relax

from ...quantize._graph import op_name
from ._fuse import shape_of

__all__ = ["CONVOLUTIONS", "Part", "Span", "padding", "part_of", "parts", "weights_of"]

# Relax operators that are convolutions, and the layouts in which there are loops for them.
CONVOLUTIONS = {
    "relax.nn.conv1d": ("NCW", "OIW"),
    "relax.nn.conv2d": ("NCHW", "OIHW"),
    "relax.nn.conv1d_transpose": ("NCW", "IOW"),
    "relax.nn.conv2d_transpose": ("NCHW", "IOHW"),
}


@dataclass(frozen=True)
class Span:
    """One axis of an ordinary convolution.

    Attributes
    ----------
    taps : tuple of int
        Which indices of the kernel, in the order of the inputs that they meet.
    start, stride, dilation : int
        Which index of the image, negative in the padding, meets the first tap at the first output,
        and how far outputs and taps are apart.
    extent : int
        How many outputs.
    first, every : int
        Where they are: output `i` is at ``first + i * every``.
    """

    taps: tuple[int, ...]
    start: int
    stride: int
    dilation: int
    extent: int
    first: int = 0
    every: int = 1

    def beyond(self, size: int) -> tuple[int, int]:
        """Return how many indices before and behind an image of that size are read."""
        last = self.start + (self.extent - 1) * self.stride
        last += max(len(self.taps) - 1, 0) * self.dilation
        return max(-self.start, 0), max(last - size + 1, 0)


Part = tuple[Span, Span]  # of rows and of columns


def parts(call: relax.Call) -> list[Part]:
    """Return the ordinary convolutions of images that a call consists of."""
    attrs, kernel, extents = call.attrs, shape_of(call.args[1])[2:], shape_of(call)[2:]
    before = [int(p) for p in attrs.padding][: len(kernel)]
    strides, dilation = ([int(n) for n in getattr(attrs, k)] for k in ("strides", "dilation"))
    spans = _transposed if op_name(call).endswith("_transpose") else _ordinary
    axes = [
        spans(*numbers) for numbers in zip(kernel, extents, strides, dilation, before, strict=True)
    ]
    if len(axes) == 1:
        axes = [[Span((0,), 0, 1, 1, 1)], *axes]
    return [part for part in product(*axes) if all(span.extent > 0 for span in part)]


def _ordinary(kernel: int, extent: int, stride: int, dilation: int, before: int) -> list[Span]:
    return [Span(tuple(range(kernel)), -before, stride, dilation, extent)]


def _transposed(kernel: int, extent: int, stride: int, dilation: int, before: int) -> list[Span]:
    spans = []
    for r in range(stride):
        # Output s q + r takes input q + reach at each tap where that is an integer.
        reach = {k: (r + before - k * dilation) / stride for k in reversed(range(kernel))}
        taps = [k for k, e in reach.items() if e.is_integer()]
        starts = [int(reach[k]) for k in taps]
        size = -(-(extent - r) // stride)
        if not taps:  # these outputs are zero
            spans.append(Span((), 0, 0, 1, size, r, stride))
            continue
        step = starts[1] - starts[0] if len(taps) > 1 else 1
        spans.append(Span(tuple(taps), starts[0], 1, step, size, r, stride))
    return spans


def padding(call: relax.Call) -> list[tuple[int, int]]:
    """Return for each axis of the input how far its convolution reads beyond it."""
    shape = shape_of(call.args[0])
    sizes = (1, *shape[2:])[-2:]
    found = [(0, 0), (0, 0)]
    for part in parts(call):
        ends = [span.beyond(size) for span, size in zip(part, sizes, strict=True)]
        found = [(max(a, c), max(b, d)) for (a, b), (c, d) in zip(found, ends, strict=True)]
    return [(0, 0), (0, 0), *found[-len(shape) + 2 :]]


def weights_of(call: relax.Call, weights: np.ndarray) -> np.ndarray:
    """Return weights as (outputs, inputs of a group, height, width)."""
    if op_name(call).endswith("_transpose"):
        groups = int(call.attrs.groups)
        inputs, outputs, *kernel = weights.shape
        split = weights.reshape(groups, inputs // groups, outputs, *kernel)
        weights = split.swapaxes(1, 2).reshape(groups * outputs, inputs // groups, *kernel)
    return weights if weights.ndim == 4 else weights[:, :, None, :]


def part_of(weights: np.ndarray, part: Sequence[Span]) -> np.ndarray:
    """Return the weights of one of the convolutions."""
    rows, columns = (list(span.taps) for span in part)
    if not rows or not columns:
        return np.zeros((*weights.shape[:2], 1, 1), weights.dtype)
    return np.ascontiguousarray(weights[:, :, rows][:, :, :, columns])
