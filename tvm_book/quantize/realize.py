"""Realize: replace simulated rounding by integer arithmetic.

A quantized value is an integer-valued expression, the size of one step, and the storage type that
its readers may count on. What arithmetic is emitted is up to the rules.
"""

from __future__ import annotations

from collections.abc import Callable
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

    @property
    def is_narrow(self) -> bool:
        """Whether operators that move elements may run on the data: they always may."""
        return True

    def to_float(self, arith: Arithmetic) -> relax.Expr:
        """Emit ``float32(data) * scale``."""
        return arith.multiply(arith.cast(self.expr, "float32"), self.scale)

    def map(self, move: Callable[[relax.Expr], relax.Expr]) -> Quantized:
        """Return the value whose data ``move`` rearranged."""
        return self._replace(expr=move(self.expr))


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
        return hasattr(value, "to_float")

    def is_narrow(self, value: Any) -> bool:
        """Whether operators may run on the integers of a value as they are."""
        return self.is_quantized(value) and value.is_narrow

    def dequantize(self, value: Any) -> relax.Expr:
        """Return to float."""
        return value.to_float(self.arith) if self.is_quantized(value) else value

    def visit(self, var, expr):
        """Apply the rule of the operator."""
        rule = self.scheme.rule_for(expr)
        return rule.realize(self, expr, [self[leaf] for leaf in operands(expr)])

    def result(self, expr):
        """Return to float what the function returns."""
        return map_operands(expr, lambda leaf: self.dequantize(self[leaf]))
