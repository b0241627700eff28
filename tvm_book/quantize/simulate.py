"""Simulate: keep rounding in float instead of realizing it."""

from __future__ import annotations

from tvm import relax

from ._graph import Rebuilder, op_name
from .prepare import broadcastable_bias

__all__ = ["Simulate"]


class Simulate(Rebuilder):
    """Drop the markers; ``simulated_quantize`` stays and rounds in float32."""

    def visit(self, var, expr):
        """Rewrite one binding."""
        if op_name(expr).startswith("relax.annotation."):
            return self[expr.args[0]]
        if op_name(expr) == "relax.nn.bias_add":
            bias = broadcastable_bias(expr.args[1], expr)
            return self.builder.emit(relax.op.add(self[expr.args[0]], bias))
        return self.copy(expr)
