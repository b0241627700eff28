"""Addition, subtraction, multiplication and division."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tvm import relax
from tvm.ir import GenericConst

from ..._graph import op_name, operands, to_numpy
from ...annotate import ACTIVATION, INPUT, Annotated
from ..rule import Rule, dequantize_all, leave_float
from .annotating import base_of, is_demanded, is_scalar, is_wide, narrow, same_base, table_base
from .functions import as_function, combine
from .values import Affine, Term

__all__ = ["RULES"]

LARGEST_BIAS = 2**30  # leaves the accumulator half of its range


def _constant_index(args: list[Annotated]) -> int | None:
    return next((i for i in (1, 0) if isinstance(args[i].expr, GenericConst)), None)


def _annotate_sum(a, call, args):
    number = _constant_index(args)
    if number is not None and is_wide(args[1 - number]):
        return Annotated(a.emit(call, [arg.expr for arg in args]), ACTIVATION)  # a bias
    return _annotate_binary(a, call, args, _wide_sum)


def _annotate_product(a, call, args):
    return _annotate_binary(a, call, args, _narrow_both)


def _annotate_binary(a, call, args, tensors):
    """Constants and functions of one tensor are the same for all operators; ``tensors`` is not."""
    if not is_demanded(a) or all(arg.kind is None for arg in args):
        return leave_float(a, call, args)
    number = _constant_index(args)
    if number is not None:
        return _with_constant(a, call, args, number)
    pair = same_base(a, *args)
    if pair is not None:
        exprs, base = [value.expr for value in pair], base_of(pair[0])
        return Annotated(a.emit(call, exprs), ACTIVATION, base=base)
    return Annotated(a.emit(call, tensors(a, call, args)), ACTIVATION)


def _with_constant(a, call, args, number):
    x, exprs = args[1 - number], [arg.expr for arg in args]
    if is_wide(x):
        return Annotated(a.emit(call, exprs), ACTIVATION)
    if is_scalar(args[number]) and (x.base is not None or x.kind == INPUT or not x.clamped):
        x = table_base(a, x)
        exprs[1 - number] = x.expr
        # A narrow tensor times a number is the same tensor in other units.
        keeps = x.kind == INPUT and op_name(call) in ("relax.multiply", "relax.divide")
        keeps = keeps and number == 1 and bool((to_numpy(args[1].expr) > 0).all())
        return Annotated(a.emit(call, exprs), INPUT if keeps else ACTIVATION, base=base_of(x))
    exprs[1 - number] = narrow(a, call, args, 1 - number)
    return Annotated(a.emit(call, exprs), ACTIVATION)


def _wide_sum(a, call, args):
    """One accumulator may stay as it is; a second one would have to be kept in memory."""
    keep = next((i for i in (0, 1) if is_wide(args[i])), None)
    return [arg.expr if i == keep else narrow(a, call, args, i) for i, arg in enumerate(args)]


def _narrow_both(a, call, args):
    return [narrow(a, call, args, i) for i in range(2)]


def _realize_sum(r, call, args):
    sign = -1.0 if op_name(call) == "relax.subtract" else 1.0
    left, right = (_operand(r, arg) for arg in args)
    if _is_linear(left) and isinstance(right, np.ndarray):
        return _add_constant(r, left, right * sign)
    if _is_linear(right) and isinstance(left, np.ndarray):
        return _add_constant(r, _scaled(right, sign), left)
    if _is_linear(left) and _is_linear(right) and not _shares_base(left, right):
        right = _scaled(right, sign)
        return Affine(left.terms + right.terms, left.offset + right.offset)
    return combine(r, call, args) or dequantize_all(r, call, args)


def _realize_product(r, call, args):
    left, right = (_operand(r, arg) for arg in args)
    if isinstance(left, np.ndarray):
        left, right = right, left
    if _is_linear(left) and isinstance(right, np.ndarray):
        return _scaled(left, right)
    if r.is_narrow(left) and r.is_narrow(right) and not _shares_base(left, right):
        x, y = (_centred(r, value.narrow) for value in (left, right))
        scale = left.narrow.scale * right.narrow.scale
        return Affine((Term(r.arith.multiply(x, y), scale),))
    return combine(r, call, args) or dequantize_all(r, call, args)


def _realize_quotient(r, call, args):
    left, right = (_operand(r, arg) for arg in args)
    if _is_linear(left) and isinstance(right, np.ndarray) and np.all(right):
        return _scaled(left, 1 / right.astype(np.float64))
    return combine(r, call, args) or dequantize_all(r, call, args)


def _is_linear(value) -> bool:
    """Whether constants may be multiplied and added to the terms of a value."""
    return isinstance(value, Affine) and not value.is_clamped


def _operand(r, arg):
    """Return constants as arrays; others as they are."""
    return to_numpy(arg) if isinstance(arg, GenericConst) else arg


def _shares_base(left, right) -> bool:
    left, right = as_function(left), as_function(right)
    return left is not None and right is not None and left.base.expr.same_as(right.base.expr)


def _scaled(value: Affine, factor) -> Affine:
    """Multiply a value without limits by a number or an array of constants."""
    factor = np.asarray(factor, np.float64)
    factor = factor.reshape(()) if factor.size == 1 else factor
    terms = tuple(replace(term, scale=term.scale * factor) for term in value.terms)
    return Affine(terms, value.offset * factor)


def _add_constant(r, value: Affine, constant: np.ndarray) -> Affine:
    """Add to the accumulator of a layer, in its own steps, or else to the offset."""
    constant, term = constant.astype(np.float64), value.terms[0]
    if len(value.terms) > 1 or term.dtype != "int32" or not np.all(term.scale):
        return replace(value, offset=value.offset + constant)
    steps = np.rint((constant + value.offset) / term.scale - term.zero_point)
    shape = tuple(int(extent) for extent in term.expr.ty.shape)
    fits = np.max(np.abs(steps), initial=0) < LARGEST_BIAS
    if not fits or np.broadcast_shapes(steps.shape, shape) != shape:
        return replace(value, offset=value.offset + constant)
    data = r.arith.add(term.expr, steps.astype(np.int32))
    return Affine((Term(data, term.scale),))


def _centred(r, term: Term) -> relax.Expr:
    data = r.arith.cast(term.expr, "int32")
    return r.arith.add(data, -int(term.zero_point)) if int(term.zero_point) else data


def _is_float(call: relax.Call) -> bool:
    return all(str(leaf.ty.dtype) == "float32" for leaf in operands(call))


def _divides_by_constant(call: relax.Call) -> bool:
    return _is_float(call) and isinstance(call.args[1], GenericConst)


RULES = (
    Rule("relax.add", when=_is_float, annotate=_annotate_sum, realize=_realize_sum, asks="pass"),
    Rule(
        "relax.subtract", when=_is_float, annotate=_annotate_sum, realize=_realize_sum, asks="pass"
    ),
    Rule(
        "relax.multiply",
        when=_is_float,
        annotate=_annotate_product,
        realize=_realize_product,
        asks="pass",
    ),
    Rule(
        "relax.divide",
        when=_divides_by_constant,
        annotate=_annotate_product,
        realize=_realize_quotient,
        asks="pass",
    ),
    Rule("relax.divide", why="a quotient of two tensors has no fixed step"),
)
