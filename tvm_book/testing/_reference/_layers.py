"""Convolutions and matrix products.

Of integers, they are products of float64 matrices wherever the sums stay below 2**53, up to which
float64 holds every integer, so that no order of adding can change them. Of floats, they add in
index order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tvm_book.testing._reference._elements import cast, integers

__all__ = ["LAYERS", "pad_ends", "windows"]

EXACT = 2**53


def windows(
    x: np.ndarray, kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> np.ndarray:
    """View what each window of the last axes covers.

    Returns
    -------
    numpy.ndarray
        The leading axes of ``x``, an axis for the positions along each axis, and behind them one
        for the taps along each.
    """
    axes = tuple(range(x.ndim - len(kernel), x.ndim))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    view = sliding_window_view(x, reach, axes)
    steps = [slice(None, None, step) for step in (*strides, *dilation)]
    return view[(..., *steps)]


def pad_ends(x: np.ndarray, before: Sequence[int], after: Sequence[int], value: Any) -> np.ndarray:
    """Pad the last axes; negative numbers cut off."""
    if min(*before, *after) < 0:
        kept = [slice(max(-b, 0), n - max(-a, 0)) for b, a, n in _ends(x, before, after)]
        x = x[(..., *kept)]
    pairs = [(max(b, 0), max(a, 0)) for b, a, _ in _ends(x, before, after)]
    return np.pad(x, [(0, 0)] * (x.ndim - len(pairs)) + pairs, constant_values=value)


def _ends(x, before, after):
    return zip(before, after, x.shape[x.ndim - len(before) :], strict=True)


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Multiply matrices: integers in int64, modulo 2**64; floats in the order of the depth."""
    if a.dtype.kind == "f":
        total: Any = np.zeros((), a.dtype)
        for k in range(a.shape[-1]):
            total = total + a[..., k, None] * b[..., None, k, :]
        return total
    if a.shape[-1] * _peak(a) * _peak(b) < EXACT:
        return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
    return a.astype(np.int64) @ b.astype(np.int64)


def _peak(x: np.ndarray) -> int:
    return max(-int(x.min()), int(x.max())) if x.size else 0


def _convolve(x, w, strides, dilation, groups):
    """Convolve what is padded already; ``w`` has the output channels first."""
    outer, inner = w.shape[0] // groups, w.shape[1]
    seen = windows(x, w.shape[2:], strides, dilation)  # N, C, positions, taps
    n, positions, taps = len(x), seen.shape[2 : w.ndim], w.shape[2:]
    seen = seen.reshape(n, groups, inner, *positions, *taps)
    rank = len(taps)
    # N, group, positions, channel of the group, taps
    order = (0, 1, *range(3, 3 + rank), 2, *range(3 + rank, 3 + 2 * rank))
    depth = inner * int(np.prod(taps))
    kernel = w.reshape(groups, outer, depth).transpose(0, 2, 1)
    results = [  # one sample at a time: its windows overlap, and take far more memory than it
        multiply(sample.transpose([i - 1 for i in order[1:]]).reshape(groups, -1, depth), kernel)
        for sample in seen
    ]
    return np.stack(results).swapaxes(2, 3).reshape(n, groups * outer, *positions)


def _check_layouts(attrs: Any, weight: str) -> None:
    layouts = str(attrs.data_layout)[:2], str(attrs.kernel_layout)[:2]
    if layouts != ("NC", weight):
        raise NotImplementedError(
            f"a convolution has the layouts {attrs.data_layout} and {attrs.kernel_layout}; the "
            f"reference convolves channels first, NC and {weight}"
        )


def _conv(call, x, w):
    attrs, rank = call.attrs, w.ndim - 2
    _check_layouts(attrs, "OI")
    padding = integers(attrs.padding)
    x = pad_ends(x, padding[:rank], padding[rank:], 0)
    strides, dilation = integers(attrs.strides), integers(attrs.dilation)
    return cast(_convolve(x, w, strides, dilation, int(attrs.groups)), str(call.ty.dtype))


def _conv_transpose(call, x, w):
    """Convolve the input, zeros between its elements, with the kernel turned around."""
    attrs, rank, groups = call.attrs, w.ndim - 2, int(call.attrs.groups)
    _check_layouts(attrs, "IO")
    strides, dilation = integers(attrs.strides), integers(attrs.dilation)
    padding, beyond = integers(attrs.padding), integers(attrs.output_padding)
    sizes = [(n - 1) * s + 1 for n, s in zip(x.shape[2:], strides, strict=True)]
    spread = np.zeros((*x.shape[:2], *sizes), x.dtype)
    spread[(..., *(slice(None, None, s) for s in strides))] = x
    reach = [(k - 1) * d for k, d in zip(w.shape[2:], dilation, strict=True)]
    before = [r - p for r, p in zip(reach, padding[:rank], strict=True)]
    after = [r - p + b for r, p, b in zip(reach, padding[rank:], beyond, strict=True)]
    turned = np.flip(w, tuple(range(2, w.ndim)))
    turned = turned.reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)  # group, O, I, taps
    turned = turned.reshape(-1, w.shape[0] // groups, *w.shape[2:])
    spread = pad_ends(spread, before, after, 0)
    return cast(_convolve(spread, turned, [1] * rank, dilation, groups), str(call.ty.dtype))


def _matmul(call, a, b):
    left, right = (a if a.ndim > 1 else a[None]), (b if b.ndim > 1 else b[:, None])
    result = cast(multiply(left, right), str(call.ty.dtype))
    return result.reshape(integers(call.ty.shape))


LAYERS = {
    **{f"relax.nn.conv{n}d": _conv for n in (1, 2, 3)},
    **{f"relax.nn.conv{n}d_transpose": _conv_transpose for n in (1, 2)},
    "relax.matmul": _matmul,
}
