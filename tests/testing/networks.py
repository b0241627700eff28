"""Networks that hypothesis makes up: a weighted grammar of operators, one row a production."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from tvm import IRModule, relax

from tests.testing import drawn_elements as elements
from tests.testing import drawn_layers as layers
from tests.testing.drawn import State
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


SPATIAL, ANY, IMAGE, ROWS = ("image", "signal"), tuple(KINDS), ("image",), ("rows", "flat")
# production: how often it is taken, and where
GRAMMAR = {
    "conv": (layers.conv, 10, SPATIAL),
    "conv_transpose": (layers.conv_transpose, 5, SPATIAL),
    "linear": (layers.linear, 9, ROWS),
    "linear of a signal": (layers.linear, 2, ("signal",)),
    "product": (layers.product, 5, ("rows", "signal")),
    "relu": (elements.plain("relu"), 5, ANY),
    "clip": (elements.limits, 4, ANY),
    "function": (elements.function, 5, ANY),
    "leaky_relu": (elements.leaky, 1, ANY),
    "hard_swish": (elements.hard_swish, 2, ANY),
    "binary": (elements.binary, 8, ANY),
    "concat": (elements.concat, 6, ANY),
    "max_pool": (layers.max_pool, 4, SPATIAL),
    "avg_pool": (layers.avg_pool, 5, SPATIAL),
    "adaptive": (layers.adaptive, 2, IMAGE),
    "reduce": (elements.mean, 4, ANY),
    "move": (elements.move, 5, ANY),
    "resize": (elements.resize, 2, IMAGE),
    "softmax": (elements.softmax, 1, ROWS),
    "layer_norm": (elements.layer_norm, 1, ROWS),
}


def _productions(kind):
    return [
        name for name, (_, weight, kinds) in GRAMMAR.items() if kind in kinds for _ in range(weight)
    ]


@st.composite
def networks(draw, kinds=ANY, steps=7):
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
        name = first if number == 0 else draw(st.sampled_from(_productions(now)))
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
