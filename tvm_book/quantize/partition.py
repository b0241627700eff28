"""Partition: decide where integer groups end.

A group grows from a convolution over cheap operators. Where it must end, the value passes
``cast_hint`` (it leaves as ``dtype_input``) and ``stop_fusion``.
"""

from __future__ import annotations

from typing import NamedTuple

from tvm import IRModule, relax

from . import ops
from ._graph import Rebuilder, map_operands, operands
from .config import QConfig
from .rules.rule import Scheme

__all__ = ["Group", "Partition"]


class Group(NamedTuple):
    """A value, and whether it belongs to a group that may still grow."""

    expr: relax.Expr
    open: bool = False


class Partition(Rebuilder):
    """The pass; rules get it as their first argument."""

    pass_name = "QuantizePartition"

    def __init__(self, mod: IRModule, scheme: Scheme, config: QConfig):
        super().__init__(mod)
        self.scheme, self.config = scheme, config

    def __getitem__(self, leaf: relax.Expr) -> Group:
        """Return the value of an operand; parameters and constants belong to no group."""
        value = self.values.get(leaf, leaf) if isinstance(leaf, relax.Var) else leaf
        return value if isinstance(value, Group) else Group(value)

    def plain(self, expr: relax.Expr) -> Group:
        """Make a value that belongs to no group."""
        return Group(expr)

    def close(self, value: Group) -> relax.Expr:
        """End the group of ``value``, if it has one, with a new pair of markers."""
        if not value.open:
            return value.expr
        hint = self.builder.emit(ops.cast_hint(value.expr, self.config.dtype_input))
        return self.builder.emit(ops.stop_fusion(hint))

    def visit(self, var, expr):
        """Apply the rule of the operator."""
        rule = self.scheme.rule_for(expr)
        return rule.partition(self, expr, [self[leaf] for leaf in operands(expr)])

    def result(self, expr):
        """Close what the function returns."""
        return map_operands(expr, lambda leaf: self.close(self[leaf]))
