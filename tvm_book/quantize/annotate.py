"""Annotate: put a ``simulated_quantize`` wherever a value is to lie on a grid.

Each value has a kind: ``"input"`` (narrow, ready for a heavy operator), ``"activation"`` (a wide
accumulator) or None (float). Weights become the kind ``"weight"`` where they are read.
"""

from __future__ import annotations

from typing import NamedTuple

from tvm import IRModule, relax
from tvm.ir import GenericConst

from . import ops
from ._demand import INPUT, SYMMETRIC, demands
from ._graph import Rebuilder, map_operands, module_path, operands
from ._selectors import select
from .config import QConfig
from .rules.rule import Rule, Scheme, leave_float

__all__ = ["ACTIVATION", "INPUT", "SYMMETRIC", "TABLE", "WEIGHT", "Annotate", "Annotated"]

WEIGHT, ACTIVATION, TABLE = "weight", "activation", "table"


class Annotated(NamedTuple):
    """A value on its way through the pass.

    Attributes
    ----------
    expr : tvm.relax.Expr
    kind : str or None
        None is float.
    base : tvm.relax.Expr or None
        The narrow value that this one is a function of, element by element, if it is.
    clamped : bool
        Whether limits wait to be applied where the value is rounded next.
    shared : bool
        Whether several operators read it.
    """

    expr: relax.Expr
    kind: str | None = None
    base: relax.Expr | None = None
    clamped: bool = False
    shared: bool = False


class Annotate(Rebuilder):
    """The pass; rules get it as their first argument.

    Attributes
    ----------
    conv_count : int
        Convolutions visited so far, which ``skip_conv_layers`` counts.
    stopped : bool
        Set by a rule after which nothing more is quantized.
    skipped : set of tvm.relax.Var
        Operators that the configuration leaves in float.
    demand : dict
        What is asked of a variable, ``"input"`` or ``"symmetric"``; others are not in it.
    var : tvm.relax.Var
        The variable whose operator is being visited.
    """

    pass_name = "QuantizeAnnotate"

    def __init__(self, mod: IRModule, scheme: Scheme, config: QConfig):
        super().__init__(mod)
        self.scheme, self.config = scheme, config
        self.uses = self.graph.use_counts()
        self.conv_count = 0
        self.stopped = False
        self.skipped = self._skipped()
        self.demand = demands(self.graph, self._asks, self.skipped)
        self.var: relax.Var | None = None
        self._simulated: dict[tuple[relax.Expr, str], relax.Expr] = {}

    def __getitem__(self, leaf: relax.Expr) -> Annotated:
        """Return the value of an operand; parameters and constants are float."""
        value = self.values.get(leaf, leaf) if isinstance(leaf, relax.Var) else leaf
        return value if isinstance(value, Annotated) else Annotated(value)

    def _skipped(self) -> set[relax.Var]:
        skipped = select(self.graph, self.config.skip)
        for var in self.graph.post_order():
            expr = self.graph.bindings[var]
            rule = self.scheme.rule_for(expr)
            if rule.skip is not None and rule.skip(self, expr):
                skipped.add(var)
            if not self._is_enabled(rule):
                skipped.add(var)
        return skipped

    def _asks(self, expr: relax.Expr):
        asks = self.scheme.rule_for(expr).asks
        return asks(expr) if callable(asks) else asks

    def plain(self, expr: relax.Expr) -> Annotated:
        """Make a float value."""
        return Annotated(expr)

    def simulate(self, expr: relax.Expr, kind: str, **attrs: int) -> relax.Expr:
        """Round ``expr`` to the grid of ``kind``; a value that lies on it stays as it is."""
        if (expr, kind) not in self._simulated:
            reader = self.builder.path
            self.builder.path = module_path(expr) or reader  # named after what makes the value
            new = self.builder.emit(ops.simulated_quantize(expr, kind=kind, **attrs))
            self.builder.path = reader
            self._simulated[expr, kind] = new
            self._simulated[new, kind] = new
        return self._simulated[expr, kind]

    def simulated(self, expr: relax.Expr, kind: str) -> relax.Expr | None:
        """Return what `simulate` made of ``expr``, None if it was not asked."""
        return self._simulated.get((expr, kind))

    def simulate_operand(self, expr: relax.Expr) -> relax.Expr:
        """Round a float operand: constants to the grid of weights, others to that of inputs."""
        return self.simulate(expr, WEIGHT if isinstance(expr, GenericConst) else INPUT)

    def visit(self, var, expr):
        """Apply the rule, and the scheme's way with values that several operators read."""
        rule, args = self.scheme.rule_for(expr), [self[leaf] for leaf in operands(expr)]
        self.var = var
        if var in self.skipped or self.stopped:
            value = leave_float(self, expr, args)
        else:
            value = rule.annotate(self, expr, args)
        return self.scheme.share(self, value) if self.uses[var] > 1 else value

    def _is_enabled(self, rule: Rule) -> bool:
        enabled = self.config.debug_enabled_ops
        return enabled is None or not rule.op or rule.op in enabled or rule.relay in enabled

    def result(self, expr):
        """Return what the function returned."""
        return map_operands(expr, lambda leaf: self[leaf].expr)
