"""Layers, products and pools of made-up networks: a function emits one, and says what it was."""

from __future__ import annotations

from typing import Any

from tvm.relax import op

__all__ = ["adaptive", "avg_pool", "conv", "conv_transpose", "linear", "max_pool", "product"]


def _bias(s, x, *shape):
    if s.pick(True, True, False):
        x = s.emit(op.add(x, s.constant(*shape)))
    return x


def _window(s, size):
    """Kernel, stride, padding and dilation that fit an extent."""
    kernel, dilation = s.number(1, min(size, 3)), s.pick(1, 1, 2)
    dilation = dilation if (kernel - 1) * dilation < size else 1
    before, after = (s.number(0, kernel - 1) for _ in range(2))
    return kernel, s.pick(1, 1, 2, 3), before, after, dilation


def conv(s):
    channels, sizes = s.shape[1], s.shape[2:]
    windows = [_window(s, size) for size in sizes]
    kernel, strides, before, after, dilation = map(list, zip(*windows, strict=True))
    groups = s.pick(1, 1, *(g for g in (2, channels) if channels % g == 0))
    outputs = groups * s.pick(1, 2) if groups > 1 else s.pick(1, 3, 8, 17, 64)
    weight = s.constant(outputs, channels // groups, *kernel)
    emit = op.nn.conv2d if len(sizes) == 2 else op.nn.conv1d
    options = {"strides": strides, "padding": before + after, "dilation": dilation}
    x = s.emit(emit(s.value, weight, groups=groups, **options))
    return _bias(s, x, 1, outputs, *(1,) * len(sizes)), f"{outputs} {kernel} {options} /{groups}"


def conv_transpose(s):
    channels, sizes = s.shape[1], s.shape[2:]
    kernel = [s.number(1, 3) for _ in sizes]
    strides = [s.number(1, 3) for _ in sizes]
    dilation = [s.pick(1, 1, 2) for _ in sizes]
    reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    before, after = ([s.number(0, r) for r in reach] for _ in range(2))
    beyond = [s.number(0, n - 1) for n in strides]
    # the first and last rows may be cut off, but some have to be left
    lengths = [
        (n - 1) * t - b - a + r + 1 + o
        for n, t, b, a, r, o in zip(sizes, strides, before, after, reach, beyond, strict=True)
    ]
    if min(lengths) < 1:
        before = after = [0] * len(sizes)
    groups = s.pick(1, 1, *(g for g in (2, channels) if channels % g == 0))
    outputs = s.pick(1, 2, 3)
    weight = s.constant(channels, outputs, *kernel)
    emit = op.nn.conv2d_transpose if len(sizes) == 2 else op.nn.conv1d_transpose
    options = {
        "strides": strides,
        "padding": before + after,
        "dilation": dilation,
        "output_padding": beyond,
    }
    x = s.emit(emit(s.value, weight, groups=groups, **options))
    outputs *= groups
    return _bias(s, x, 1, outputs, *(1,) * len(sizes)), f"{outputs} {kernel} {options} /{groups}"


def linear(s):
    outputs = s.pick(1, 3, 16, 33, 70)
    x = s.emit(op.matmul(s.value, s.constant(s.shape[-1], outputs)))
    return _bias(s, x, outputs), outputs


def product(s):
    """Multiply with the transpose of another tensor, or of itself."""
    others = [x for x in s.earlier if list(x.ty.shape)[-1] == s.shape[-1]]
    others = [x for x in others if [int(n) for n in x.ty.shape][:-2] == s.shape[:-2]]
    other = s.pick(s.value, *others)
    axes = list(range(len(s.shape)))
    axes[-2:] = axes[:-3:-1]
    return s.emit(op.matmul(s.value, s.emit(op.permute_dims(other, axes)))), ""


def max_pool(s):
    kernel, strides, before, after, dilation = map(
        list, zip(*(_window(s, size) for size in s.shape[2:]), strict=True)
    )
    padding = [min(p, k // 2) for p, k in zip(before + after, kernel + kernel, strict=True)]
    emit = op.nn.max_pool2d if len(kernel) == 2 else op.nn.max_pool1d
    options = {"strides": strides, "padding": padding, "dilation": dilation}
    options["ceil_mode"] = s.pick(False, True)
    return s.emit(emit(s.value, kernel, **options)), f"{kernel} {options}"


def avg_pool(s):
    sizes = s.shape[2:]
    kernel = [s.number(1, min(size, 3)) for size in sizes]
    padding = [s.number(0, k // 2) for k in kernel]
    options: dict[str, Any] = {"strides": [s.number(1, k) for k in kernel]}
    options |= {"padding": padding + padding, "count_include_pad": s.pick(False, True)}
    options["ceil_mode"] = s.pick(False, True)
    emit = op.nn.avg_pool2d if len(kernel) == 2 else op.nn.avg_pool1d
    return s.emit(emit(s.value, kernel, **options)), f"{kernel} {options}"


def adaptive(s):
    sizes = [s.pick(*(n for n in (1, 2, size) if size % n == 0)) for size in s.shape[2:]]
    return s.emit(op.nn.adaptive_avg_pool2d(s.value, sizes)), sizes
