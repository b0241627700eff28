"""What has been drawn of a made-up network, and how weights are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tvm import relax

from tvm_book.quantize._emitter import Emitter

__all__ = ["State"]


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
