"""Realize: replace simulated rounding by integer arithmetic.

A quantized value is an integer-valued expression, the size of one step, and the storage type that
its readers may count on. What arithmetic is emitted is up to the rules.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from tvm import IRModule, relax

from ._arithmetic import Arithmetic
from ._graph import Rebuilder, map_operands, operands
from .config import QConfig
from .rules.rule import Scheme

__all__ = ["Quantized", "Realize"]


class Quantized(NamedTuple):
    """An integer-valued expression that stands for ``expr * scale``.

    Attributes
    ----------
    expr : tvm.relax.Expr
    scale : numpy.float32
        Size of one step.
    dtype : str
        ``"float32"`` for whole numbers that no reader has cast yet.
    """

    expr: relax.Expr
    scale: np.float32
    dtype: str


class Realize(Rebuilder):
    """The pass; rules get it as their first argument.

    Attributes
    ----------
    arith : Arithmetic
        Emits the operators of integer arithmetic, and folds constants.
    """

    pass_name = "QuantizeRealize"

    def __init__(self, mod: IRModule, scheme: Scheme, config: QConfig):
        super().__init__(mod)
        self.scheme, self.config = scheme, config
        self.arith = Arithmetic(self.builder)

    def is_quantized(self, value: Any) -> bool:
        """Whether a value has left float."""
        return isinstance(value, Quantized)

    def dequantize(self, value: Quantized | relax.Expr) -> relax.Expr:
        """Return to float: ``float32(data) * scale``."""
        if not isinstance(value, Quantized):
            return value
        data = self.arith.cast(value.expr, "float32")
        return self.arith.multiply(data, value.scale)

    def visit(self, var, expr):
        """Apply the rule of the operator."""
        rule = self.scheme.rule_for(expr)
        return rule.realize(self, expr, [self[leaf] for leaf in operands(expr)])

    def result(self, expr):
        """Return to float what the function returns."""
        return map_operands(expr, lambda leaf: self.dequantize(self[leaf]))
