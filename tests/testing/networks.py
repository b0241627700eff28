"""Networks that hypothesis makes up: a weighted grammar of operators, one row a production."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tvm import IRModule, relax
from tvm.relax import op

from tvm_book.quantize._emitter import Emitter

__all__ = ["Network", "networks"]

KINDS = {"image": (2, 4, 7, 9), "signal": (2, 4, 13), "rows": (2, 3, 8), "flat": (3, 16)}
RANKS = {4: ("image",), 3: ("signal", "rows"), 2: ("flat",)}
MOST = 2**14  # elements of a tensor: a kernel for each shape is what takes the time


@dataclass
class Network:
    """A float module, how it was made, batches of data for its input ``x``, and one beyond them."""

    mod: IRModule
    steps: list[str]
    data: list[np.ndarray]
    beyond: np.ndarray

    def __repr__(self):
        shape, peak = self.data[0].shape, max(float(np.abs(x).max()) for x in self.data)
        return f"Network({shape}, up to {peak:.3g}: {' -> '.join(self.steps)})"


@dataclass
class State:
    """What has been drawn so far."""

    draw: Any
    rng: np.random.Generator
    emitter: Emitter
    value: relax.Expr
    steps: list[str] = field(default_factory=list)
    earlier: list[relax.Expr] = field(default_factory=list)

    @property
    def shape(self):
        return [int(n) for n in self.value.ty.shape]

    def emit(self, expr):
        return self.emitter.emit(expr)

    def pick(self, *options):
        return self.draw(st.sampled_from(options))

    def number(self, low, high):
        return self.draw(st.integers(low, high))

    def constant(self, *shape):
        """Weights of any magnitude; some of them zero, some channels far larger than others."""
        kind = self.pick("normal", "normal", "uniform", "sparse", "outlier", "uneven", "zero")
        values = self.rng.standard_normal(shape)
        if kind == "uniform":
            values = self.rng.uniform(-1, 1, shape)
        elif kind == "sparse":
            values = values * (self.rng.random(shape) < 0.3)
        elif kind == "outlier":
            values.flat[int(self.rng.integers(values.size))] *= 50
        elif kind == "uneven":
            magnitudes = np.exp2(self.rng.integers(-8, 3, shape[:1]))
            values = values * magnitudes.reshape([-1, *[1] * (len(shape) - 1)][: len(shape)])
        elif kind == "zero":
            values = values * 0
        return relax.const((values * 2.0 ** self.number(-5, 1)).astype("float32"))


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


def _conv(s):
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


def _conv_transpose(s):
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


def _linear(s):
    outputs = s.pick(1, 3, 16, 33, 70)
    x = s.emit(op.matmul(s.value, s.constant(s.shape[-1], outputs)))
    return _bias(s, x, outputs), outputs


def _product(s):
    """Multiply with the transpose of another tensor, or of itself."""
    others = [x for x in s.earlier if list(x.ty.shape)[-1] == s.shape[-1]]
    others = [x for x in others if [int(n) for n in x.ty.shape][:-2] == s.shape[:-2]]
    other = s.pick(s.value, *others)
    axes = list(range(len(s.shape)))
    axes[-2:] = axes[:-3:-1]
    return s.emit(op.matmul(s.value, s.emit(op.permute_dims(other, axes)))), ""


def _max_pool(s):
    kernel, strides, before, after, dilation = map(
        list, zip(*(_window(s, size) for size in s.shape[2:]), strict=True)
    )
    padding = [min(p, k // 2) for p, k in zip(before + after, kernel + kernel, strict=True)]
    emit = op.nn.max_pool2d if len(kernel) == 2 else op.nn.max_pool1d
    options = {"strides": strides, "padding": padding, "dilation": dilation}
    options["ceil_mode"] = s.pick(False, True)
    return s.emit(emit(s.value, kernel, **options)), f"{kernel} {options}"


def _avg_pool(s):
    sizes = s.shape[2:]
    kernel = [s.number(1, min(size, 3)) for size in sizes]
    padding = [s.number(0, k // 2) for k in kernel]
    options: dict[str, Any] = {"strides": [s.number(1, k) for k in kernel]}
    options |= {"padding": padding + padding, "count_include_pad": s.pick(False, True)}
    options["ceil_mode"] = s.pick(False, True)
    emit = op.nn.avg_pool2d if len(kernel) == 2 else op.nn.avg_pool1d
    return s.emit(emit(s.value, kernel, **options)), f"{kernel} {options}"


def _mean(s):
    rank = len(s.shape)
    axes = s.pick([-1], [rank - 2, rank - 1], [1])
    name = s.pick("mean", "mean", "sum", "max", "min")
    return s.emit(getattr(op, name)(s.value, axes, keepdims=True)), f"{name} {axes}"


def _adaptive(s):
    sizes = [s.pick(*(n for n in (1, 2, size) if size % n == 0)) for size in s.shape[2:]]
    return s.emit(op.nn.adaptive_avg_pool2d(s.value, sizes)), sizes


def _limits(s):
    low, high = sorted([s.pick(0.0, 0.0, -1.0, 0.3, -7.7), s.pick(6.0, 1.0, 0.4, 100.0)])
    return s.emit(op.clip(s.value, low, high)), (low, high)


def _function(s):
    name = s.pick("sigmoid", "tanh", "nn.silu", "nn.gelu", "nn.gelu_tanh", "nn.softplus", "abs")
    function = op
    for part in name.split("."):
        function = getattr(function, part)
    return s.emit(function(s.value)), name


def _leaky(s):
    slope = s.pick(0.1, 0.01, 0.5)
    return s.emit(op.nn.leakyrelu(s.value, slope)), slope


def _hard_swish(s):
    shifted = s.emit(op.clip(s.emit(op.add(s.value, relax.const(np.float32(3)))), 0, 6))
    product = s.emit(op.multiply(s.value, shifted))
    return s.emit(op.divide(product, relax.const(np.float32(6)))), ""


def _binary(s):
    """Combine with a tensor from before, itself, or a constant."""
    rank = len(s.shape)
    name = s.pick("add", "add", "multiply", "subtract")
    same = [x for x in s.earlier if [int(n) for n in x.ty.shape] == s.shape]
    if same and s.pick(True, True, False):
        index = s.number(0, len(same) - 1)
        pair = [s.value, same[index]]
        text = f"{name} tensor"
    elif s.pick(False, True):
        other = s.constant() if s.pick(True, False) else s.constant(s.shape[1], *(1,) * (rank - 2))
        pair, text = [s.value, other], f"{name} {tuple(other.ty.shape)}"
    else:
        pair, text = [s.value, s.value], f"{name} itself"
    if s.pick(True, False):
        pair.reverse()
    return s.emit(getattr(op, name)(*pair)), text


def _concat(s):
    axis = s.pick(1, 1, len(s.shape) - 1)

    def fits(x):
        shape = [int(n) for n in x.ty.shape]
        return len(shape) == len(s.shape) and all(
            a == b or i == axis for i, (a, b) in enumerate(zip(shape, s.shape, strict=True))
        )

    others = [x for x in s.earlier if fits(x)]
    fields = [s.value, *(s.pick(s.value, *others) for _ in range(s.number(1, 2)))]
    if s.pick(True, False):
        fields.reverse()
    return s.emit(op.concat(fields, axis)), axis


def _move(s):
    rank, shape = len(s.shape), s.shape
    kind = s.pick("flip", "slice", "permute", "flatten", "pad", "squeeze")
    if kind == "flip":
        axis = s.number(0, rank - 1)
        return s.emit(op.flip(s.value, axis)), f"flip {axis}"
    if kind == "slice":
        axis = s.number(1, rank - 1)
        start = s.number(0, shape[axis] - 1)
        step = s.pick(1, 1, 2)
        sliced = op.strided_slice(s.value, [axis], [start], [shape[axis]], [step])
        return s.emit(sliced), f"slice {axis} {start}::{step}"
    if kind == "permute":
        axes = [0, *s.draw(st.permutations(range(1, rank)))]
        return s.emit(op.permute_dims(s.value, axes)), f"permute {axes}"
    if kind == "pad":
        width = [0, 0, 0, 0] + [s.number(0, 2) for _ in range(2 * (rank - 2))]
        modes = ("constant", "constant", "reflect", "replicate")
        mode = s.pick(*modes) if min(shape[2:], default=0) > 2 else "constant"
        return s.emit(op.nn.pad(s.value, width, pad_mode=mode)), f"pad {mode} {width}"
    if kind == "squeeze":  # there and back
        flat = s.emit(op.expand_dims(s.value, 1))
        return s.emit(op.squeeze(flat, [1])), "expand, squeeze"
    kept = s.number(1, max(rank - 2, 1))  # axes before those that become one
    return s.emit(op.reshape(s.value, (*shape[:kept], -1))), f"flatten {kept}"


def _resize(s):
    sizes = [s.pick(size, 2 * size, size + 2) for size in s.shape[2:]]
    method = s.pick("nearest_neighbor", "nearest_neighbor", "linear")
    mode, rounding = s.pick(("asymmetric", "floor"), ("half_pixel", "round_prefer_ceil"))
    options = {"method": method, "coordinate_transformation_mode": mode}
    return s.emit(op.image.resize2d(s.value, tuple(sizes), rounding_method=rounding, **options)), (
        f"{method} {mode} {sizes}"
    )


def _softmax(s):
    return s.emit(op.nn.softmax(s.value, axis=-1)), ""


def _layer_norm(s):
    width = s.shape[-1]
    gamma, beta = (s.constant(width) for _ in range(2))
    return s.emit(op.nn.layer_norm(s.value, gamma, beta, axes=[-1])), ""


def _plain(name):
    def row(s):
        return s.emit(getattr(op.nn, name)(s.value)), ""

    return row


SPATIAL, ANY, IMAGE, ROWS = ("image", "signal"), tuple(KINDS), ("image",), ("rows", "flat")
# production: how often it is taken, and where
GRAMMAR = {
    "conv": (_conv, 10, SPATIAL),
    "conv_transpose": (_conv_transpose, 5, SPATIAL),
    "linear": (_linear, 9, ROWS),
    "linear of a signal": (_linear, 2, ("signal",)),
    "product": (_product, 5, ("rows", "signal")),
    "relu": (_plain("relu"), 5, ANY),
    "clip": (_limits, 4, ANY),
    "function": (_function, 5, ANY),
    "leaky_relu": (_leaky, 1, ANY),
    "hard_swish": (_hard_swish, 2, ANY),
    "binary": (_binary, 8, ANY),
    "concat": (_concat, 6, ANY),
    "max_pool": (_max_pool, 4, SPATIAL),
    "avg_pool": (_avg_pool, 5, SPATIAL),
    "adaptive": (_adaptive, 2, IMAGE),
    "reduce": (_mean, 4, ANY),
    "move": (_move, 5, ANY),
    "resize": (_resize, 2, IMAGE),
    "softmax": (_softmax, 1, ROWS),
    "layer_norm": (_layer_norm, 1, ROWS),
}


def _productions(kind):
    return [
        name for name, (_, weight, kinds) in GRAMMAR.items() if kind in kinds for _ in range(weight)
    ]


@st.composite
def networks(draw, kinds=ANY, steps=7, leave_out=()):
    """Draw a network of at most ``steps`` productions behind a layer with weights."""
    kind = draw(st.sampled_from(kinds))
    shape = KINDS[kind]
    if draw(st.integers(0, 3)) == 0:  # other sizes than the lanes of vectors like
        shape = (1, *(draw(st.integers(1, 10)) for _ in shape[1:]))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    x = relax.Var("x", relax.TensorType(shape, "float32"))
    s = State(draw, rng, Emitter(), x)
    first = "conv" if kind in SPATIAL else "linear"
    for number in range(draw(st.integers(4, steps))):
        now = kind if number == 0 else draw(st.sampled_from(RANKS[len(s.shape)]))
        options = [name for name in _productions(now) if name not in leave_out]
        name = first if number == 0 else draw(st.sampled_from(options))
        before = s.value
        value, text = GRAMMAR[name][0](s)
        if np.prod([int(n) for n in value.ty.shape]) > MOST:
            continue
        s.earlier.append(before)
        s.value = value
        s.steps.append(f"{name} {text}".strip())
    result = s.value
    if s.earlier[1:] and s.pick(False, False, True):
        result = relax.Tuple([s.value, s.pick(*s.earlier[1:])])
    function = s.emitter.function([x], result, {"global_symbol": "main"})
    scale, offset = 2.0 ** s.number(-3, 3), s.pick(0.0, 0.0, 1.0, -2.0, 5.0)
    data = [((rng.standard_normal(shape) + offset) * scale).astype("float32") for _ in range(3)]
    beyond = data[0] * np.float32(s.pick(100, 1e4, 0, -1))
    return Network(IRModule({"main": function}), s.steps, data, beyond)
