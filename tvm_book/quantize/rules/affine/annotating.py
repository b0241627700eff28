"""What the annotate functions of the affine scheme share."""

from __future__ import annotations

from collections.abc import Callable

from tvm import relax
from tvm.ir import GenericConst

from ..._graph import operands
from ...annotate import ACTIVATION, INPUT, TABLE, Annotate, Annotated
from ..rule import leave_float

__all__ = [
    "base_of",
    "is_demanded",
    "is_scalar",
    "is_wide",
    "mark_shared",
    "narrow",
    "same_base",
    "when_demanded",
]


def narrow(a: Annotate, call: relax.Expr, args: list[Annotated], index: int) -> relax.Expr:
    """Return operand number ``index`` as narrow integers, rounding it if it is not."""
    value, leaf = args[index], list(operands(call))[index]
    if value.kind == INPUT:
        return value.expr
    return a.simulate(value.expr, a.demand.get(leaf, INPUT))


def is_demanded(a: Annotate) -> bool:
    """Whether an integer operator will read, in the end, what is being visited."""
    return a.var in a.demand


def when_demanded(annotate: Callable[..., Annotated]) -> Callable[..., Annotated]:
    """Apply a rule only to a quantized operand, and only if its result is asked for."""

    def rule(a: Annotate, call: relax.Expr, args: list[Annotated]) -> Annotated:
        if not is_demanded(a) or all(arg.kind is None for arg in args):
            return leave_float(a, call, args)
        return annotate(a, call, args)

    return rule


def mark_shared(_a: Annotate, value: Annotated) -> Annotated:
    """Remember that several operators read a value: an accumulator is then not handed on."""
    return value._replace(shared=True)


def is_scalar(value: Annotated) -> bool:
    """Whether a value is a constant with one element."""
    shape = value.expr.ty.shape if isinstance(value.expr, GenericConst) else [2]
    return all(int(extent) == 1 for extent in shape)


def is_wide(value: Annotated) -> bool:
    """Whether a value is an accumulator that its only reader may take as it is."""
    pending = value.clamped or value.shared or value.base is not None
    return value.kind == ACTIVATION and not pending


def base_of(value: Annotated) -> relax.Expr | None:
    """Return the narrow tensor that a value is a function of, element by element."""
    return value.expr if value.base is None and value.kind == INPUT else value.base


def table_base(a: Annotate, value: Annotated) -> Annotated:
    """Return the value as a function of a narrow tensor, rounding an accumulator for a table."""
    base = base_of(value)
    if base is not None:
        return value._replace(base=base)
    rounded = a.simulate(value.expr, TABLE)
    return Annotated(rounded, ACTIVATION, base=rounded)


def same_base(a: Annotate, left: Annotated, right: Annotated) -> list[Annotated] | None:
    """Return both values as functions of one narrow tensor, or None if they are not."""
    pair = [left, right]
    for i, other in ((0, right), (1, left)):
        if pair[i].kind == ACTIVATION and base_of(pair[i]) is None and other.base is not None:
            rounded = a.simulated(pair[i].expr, TABLE)
            if rounded is not None:
                pair[i] = Annotated(rounded, ACTIVATION, base=rounded)
    bases = [base_of(value) for value in pair]
    if None in bases or not bases[0].same_as(bases[1]):
        return None
    return pair
