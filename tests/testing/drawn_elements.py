"""What stands between the layers of made-up networks: a function emits it, and says what it was."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op

__all__ = [
    "binary",
    "concat",
    "function",
    "hard_swish",
    "layer_norm",
    "leaky",
    "limits",
    "mean",
    "move",
    "plain",
    "resize",
    "softmax",
]


def mean(s):
    rank = len(s.shape)
    axes = s.pick([-1], [rank - 2, rank - 1], [1])
    name = s.pick("mean", "mean", "sum", "max", "min")
    return s.emit(getattr(op, name)(s.value, axes, keepdims=True)), f"{name} {axes}"


def limits(s):
    low, high = sorted([s.pick(0.0, 0.0, -1.0, 0.3, -7.7), s.pick(6.0, 1.0, 0.4, 100.0)])
    return s.emit(op.clip(s.value, low, high)), (low, high)


def function(s):
    name = s.pick("sigmoid", "tanh", "nn.silu", "nn.gelu", "nn.gelu_tanh", "nn.softplus", "abs")
    found = op
    for part in name.split("."):
        found = getattr(found, part)
    return s.emit(found(s.value)), name


def leaky(s):
    slope = s.pick(0.1, 0.01, 0.5)
    return s.emit(op.nn.leakyrelu(s.value, slope)), slope


def hard_swish(s):
    shifted = s.emit(op.clip(s.emit(op.add(s.value, relax.const(np.float32(3)))), 0, 6))
    product = s.emit(op.multiply(s.value, shifted))
    return s.emit(op.divide(product, relax.const(np.float32(6)))), ""


def binary(s):
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


def concat(s):
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


def move(s):
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


def resize(s):
    sizes = [s.pick(size, 2 * size, size + 2) for size in s.shape[2:]]
    method = s.pick("nearest_neighbor", "nearest_neighbor", "linear")
    mode, rounding = s.pick(("asymmetric", "floor"), ("half_pixel", "round_prefer_ceil"))
    options = {"method": method, "coordinate_transformation_mode": mode}
    return s.emit(op.image.resize2d(s.value, tuple(sizes), rounding_method=rounding, **options)), (
        f"{method} {mode} {sizes}"
    )


def softmax(s):
    return s.emit(op.nn.softmax(s.value, axis=-1)), ""


def layer_norm(s):
    width = s.shape[-1]
    gamma, beta = (s.constant(width) for _ in range(2))
    return s.emit(op.nn.layer_norm(s.value, gamma, beta, axes=[-1])), ""


def plain(name):
    def row(s):
        return s.emit(getattr(op.nn, name)(s.value)), ""

    return row
