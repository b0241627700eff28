"""A rule says what the three passes do with one operator; a scheme is a table of rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import tvm
from tvm import relax

from .._graph import op_name

if TYPE_CHECKING:
    from ..annotate import Annotate, Annotated
    from ..config import QConfig
    from ..partition import Group, Partition
    from ..realize import Quantized, Realize

__all__ = [
    "Rule",
    "Scheme",
    "close_all",
    "dequantize_all",
    "keep_group",
    "keep_kind",
    "leave_float",
    "on_data",
]


def close_all(p: Partition, call: relax.Expr, args: list[Group]) -> Group:
    """Partition: every open operand ends its group here; the result belongs to none."""
    return p.plain(p.emit(call, [p.close(arg) for arg in args]))


def keep_group(p: Partition, call: relax.Expr, args: list[Group]) -> Group:
    """Partition: the result belongs to the group of the first operand."""
    return args[0]._replace(expr=p.emit(call, [arg.expr for arg in args]))


def leave_float(a: Annotate, call: relax.Expr, args: list[Annotated]) -> Annotated:
    """Annotate: the operator stays in float."""
    return a.plain(a.emit(call, [arg.expr for arg in args]))


def keep_kind(a: Annotate, call: relax.Expr, args: list[Annotated]) -> Annotated:
    """Annotate: the result is of the kind of the first operand."""
    return args[0]._replace(expr=a.emit(call, [arg.expr for arg in args]))


def dequantize_all(r: Realize, call: relax.Expr, args: list[Quantized | relax.Expr]) -> relax.Expr:
    """Realize: all operands return to float, and so the operator computes."""
    return r.emit(call, [r.dequantize(arg) for arg in args])


def on_data(
    r: Realize, call: relax.Expr, args: list[Quantized | relax.Expr]
) -> Quantized | relax.Expr:
    """Realize: the operator runs on the integers of its only operand as it would on floats.

    Right for operators that commute with a positive scale: reshape, transpose, slice; and, where
    zero points are 0 (scheme ``"relay"``), relu and negation.
    """
    if not r.is_narrow(args[0]):
        return dequantize_all(r, call, args)
    return args[0].map(lambda data: r.emit(call, [data]))


@dataclass(frozen=True)
class Rule:
    """What partition, annotate and realize do with one operator.

    Parameters
    ----------
    op : str
        Relax's name of the operator, such as ``"relax.nn.leakyrelu"``.
    partition, annotate, realize : callable (pass, call, operands) -> value
        Called with the pass, the `tvm.relax.Call` and the values of its operands, left to right.
        The defaults leave the operator in float.
    relay : str
        Relay's name, by which ``debug_enabled_ops`` may call it; made from ``op`` if not given.
    when : callable (call) -> bool, optional
        The rule holds only for calls for which this is true.
    skip : callable (annotate pass, call) -> bool, optional
        Whether the configuration leaves this call in float.
    asks : tuple, str, callable (call) -> tuple or str, or None
        Scheme ``"affine"``: what the operator asks of its operands, left to right: ``"input"`` (a
        narrow integer), ``"symmetric"`` (one whose zero point is 0) or None; ``"pass"``: what is
        asked of its own result.
    why : str
        Why the operator stays in float, or computes as it does; shown in tables.

    Examples
    --------
    Negation commutes with the scale, so it may run on the integers:

    >>> from tvm_book.quantize import qconfig, rules
    >>> negative = rules.Rule(
    ...     "relax.negative",
    ...     partition=rules.keep_group,
    ...     annotate=rules.keep_kind,
    ...     realize=rules.on_data,
    ... )
    >>> qconfig(rules=[negative]).rules[0].relay
    'negative'
    """

    op: str
    partition: Callable[..., Any] = close_all
    annotate: Callable[..., Any] = leave_float
    realize: Callable[..., Any] = dequantize_all
    relay: str = ""
    when: Callable[[relax.Call], bool] | None = None
    skip: Callable[..., bool] | None = None
    asks: tuple[str | None, ...] | str | Callable[[relax.Call], Any] | None = None
    why: str = ""

    def __post_init__(self):
        if not self.relay:
            object.__setattr__(self, "relay", self.op.removeprefix("relax."))

    def holds_for(self, expr: relax.Expr) -> bool:
        """Whether the rule is about this expression."""
        return op_name(expr) == self.op and (self.when is None or bool(self.when(expr)))


UNRULED = Rule(op="")


@dataclass(frozen=True)
class Scheme:
    """A way to quantize: a table of rules and the float form that they expect.

    Parameters
    ----------
    name : str
    rules : sequence of Rule
        The first one that holds for an expression counts.
    prepare : callable (config) -> list of tvm.transform.Pass
    share : callable (annotate pass, value) -> value
        What becomes of a value that several operators read.
    has_groups : bool
        Whether the partition pass has anything to mark.
    """

    name: str
    rules: tuple[Rule, ...]
    prepare: Callable[[QConfig], list[tvm.transform.Pass]]
    share: Callable[[Annotate, Annotated], Annotated]
    has_groups: bool = True
    _by_op: dict[str, tuple[Rule, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        table: dict[str, tuple[Rule, ...]] = {}
        for rule in self.rules:
            table[rule.op] = (*table.get(rule.op, ()), rule)
        object.__setattr__(self, "_by_op", table)

    def with_rules(self, rules: Iterable[Rule]) -> Scheme:
        """Return the scheme with further rules, which come first."""
        return replace(self, rules=(*rules, *self.rules)) if rules else self

    def has_rule(self, op: str) -> bool:
        """Whether any rule is about an operator, if only to say why it stays in float."""
        return op in self._by_op

    def rule_for(self, expr: relax.Expr) -> Rule:
        """Return the rule for an expression; one that leaves it in float if there is none."""
        rules = self._by_op.get(op_name(expr), ())
        return next((rule for rule in rules if rule.holds_for(expr)), UNRULED)
