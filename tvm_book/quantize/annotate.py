"""Annotate: put a ``simulated_quantize`` wherever a value is to lie on a grid.

Each value has a kind: ``"input"`` (narrow, ready for a heavy operator), ``"activation"`` (a wide
accumulator) or None (float). Weights become the kind ``"weight"`` where they are read.
"""

from __future__ import annotations

from typing import NamedTuple

from tvm import IRModule, relax
from tvm.ir import GenericConst

from . import ops
from ._graph import Rebuilder, map_operands, operands
from .config import QConfig
from .rules.rule import Rule, Scheme, leave_float

__all__ = ["ACTIVATION", "INPUT", "WEIGHT", "Annotate", "Annotated"]

INPUT, WEIGHT, ACTIVATION = "input", "weight", "activation"


class Annotated(NamedTuple):
    """A value and its kind; None is float."""

    expr: relax.Expr
    kind: str | None = None


class Annotate(Rebuilder):
    """The pass; rules get it as their first argument.

    Attributes
    ----------
    conv_count : int
        Convolutions visited so far, which ``skip_conv_layers`` counts.
    stopped : bool
        Set by a rule after which nothing more is quantized.
    """

    pass_name = "QuantizeAnnotate"

    def __init__(self, mod: IRModule, scheme: Scheme, config: QConfig):
        super().__init__(mod)
        self.scheme, self.config = scheme, config
        self.uses = self.graph.use_counts()
        self.conv_count = 0
        self.stopped = False
        self._simulated: dict[tuple[relax.Expr, str], relax.Expr] = {}

    def __getitem__(self, leaf: relax.Expr) -> Annotated:
        """Return the value of an operand; parameters and constants are float."""
        value = self.values.get(leaf, leaf) if isinstance(leaf, relax.Var) else leaf
        return value if isinstance(value, Annotated) else Annotated(value)

    def plain(self, expr: relax.Expr) -> Annotated:
        """Make a float value."""
        return Annotated(expr)

    def simulate(self, expr: relax.Expr, kind: str) -> relax.Expr:
        """Round ``expr`` to the grid of ``kind``; a value that lies on it stays as it is."""
        if (expr, kind) not in self._simulated:
            new = self.builder.emit(ops.simulated_quantize(expr, kind=kind))
            self._simulated[expr, kind] = new
            self._simulated[new, kind] = new
        return self._simulated[expr, kind]

    def simulate_operand(self, expr: relax.Expr) -> relax.Expr:
        """Round a float operand: constants to the grid of weights, others to that of inputs."""
        return self.simulate(expr, WEIGHT if isinstance(expr, GenericConst) else INPUT)

    def visit(self, var, expr):
        """Apply the rule; round a value that several operators read once, for all of them."""
        rule, args = self.scheme.rule_for(expr), [self[leaf] for leaf in operands(expr)]
        skipped = rule.skip is not None and rule.skip(self, expr)
        if skipped or self.stopped or not self._is_enabled(rule):
            value = leave_float(self, expr, args)
        else:
            value = rule.annotate(self, expr, args)
        if value.kind is not None and self.uses[var] > 1:
            value = Annotated(self.simulate(value.expr, INPUT), INPUT)
        return value

    def _is_enabled(self, rule: Rule) -> bool:
        enabled = self.config.debug_enabled_ops
        return enabled is None or not rule.op or rule.op in enabled or rule.relay in enabled

    def result(self, expr):
        """Return what the function returned."""
        return map_operands(expr, lambda leaf: self[leaf].expr)
