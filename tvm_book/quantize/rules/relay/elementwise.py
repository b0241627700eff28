"""Rules for addition, multiplication and activation functions."""

from __future__ import annotations

import math

import numpy as np
from tvm import relax
from tvm.ir import GenericConst

from ..._graph import op_name
from ...annotate import ACTIVATION, INPUT
from ...realize import Quantized
from ..rule import Rule, dequantize_all, keep_group, keep_kind, leave_float, on_data
from ._rescale import MOST_BITS, unify

__all__ = ["RULES", "is_rounded_input"]


def _partition_add(p, call, args):
    left, right = args
    if left.open and not right.open and isinstance(right.expr, GenericConst):
        return keep_group(p, call, args)
    expr = p.emit(call, [p.close(left), p.close(right)])
    return left._replace(expr=expr, open=left.open and right.open)


def _partition_multiply(p, call, args):
    left, right = args
    exprs = [p.close(left), right.expr] if left.open else [left.expr, p.close(right)]
    return left._replace(expr=p.emit(call, exprs), open=left.open or right.open)


def _annotate_add(a, call, args):
    left, right = args
    if left.kind is None and right.kind is None:
        return leave_float(a, call, args)
    x, y = left.expr, right.expr
    if left.kind is None:
        x = a.simulate(x, INPUT)
    elif right.kind is None:
        y = a.simulate_operand(y)
    elif left.kind == right.kind == ACTIVATION:
        y = a.simulate(y, INPUT)
    return left._replace(expr=a.emit(call, [x, y]), kind=ACTIVATION)


def _annotate_multiply(a, call, args):
    left, right = args
    if left.kind is None and right.kind is None:
        return leave_float(a, call, args)
    if left.kind is not None and right.kind is not None:
        # Relay refused the product of two quantized tensors; both narrow, it is exact in int32
        exprs = [arg.expr if arg.kind == INPUT else a.simulate(arg.expr, INPUT) for arg in args]
    else:
        exprs = [_narrow_or_simulate(a, arg) for arg in args]
    return left._replace(expr=a.emit(call, exprs), kind=ACTIVATION)


def _narrow_or_simulate(a, arg):
    if arg.kind == INPUT:
        return arg.expr
    return a.simulate(arg.expr, INPUT) if arg.kind else a.simulate_operand(arg.expr)


def is_rounded_input(r, leaf: relax.Expr) -> bool:
    """Whether an operand is itself a ``simulated_quantize`` of kind input."""
    source = r.graph.value(leaf)
    return op_name(source) == "relax.qnn.simulated_quantize" and source.attrs["kind"] == INPUT


def _realize_add(r, call, args):
    if not all(map(r.is_quantized, args)):
        return dequantize_all(r, call, args)
    dtype = r.config.dtype_activation
    scale, coarse = sorted(arg.scale for arg in args)
    if coarse / scale > 2**MOST_BITS:  # then the finer operand is less than a step of the other
        scale = coarse
    narrowed = [is_rounded_input(r, leaf) for leaf in call.args]
    return Quantized(r.arith.add(*unify(r, args, scale, dtype, narrowed)), scale, dtype)


def _realize_multiply(r, call, args):
    if not all(map(r.is_quantized, args)):
        return dequantize_all(r, call, args)
    dtype = r.config.dtype_activation
    left, right = (r.arith.cast(arg.expr, dtype) for arg in args)
    return Quantized(r.arith.multiply(left, right), args[0].scale * args[1].scale, dtype)


def _realize_clip(r, call, args):
    (x,) = args
    if not r.is_quantized(x):
        return dequantize_all(r, call, args)
    low, high = (float(bound.value) / float(x.scale) for bound in call.args[1:])
    if x.dtype != "float32":
        # whole steps towards zero; a bound out of the type's reach limits nothing
        info = np.iinfo(x.dtype)
        low, high = (min(max(math.trunc(b), info.min), info.max) for b in (low, high))
    return x._replace(expr=r.arith.clip(x.expr, low, high))


RULES = (
    Rule("relax.add", partition=_partition_add, annotate=_annotate_add, realize=_realize_add),
    Rule(
        "relax.multiply",
        partition=_partition_multiply,
        annotate=_annotate_multiply,
        realize=_realize_multiply,
    ),
    Rule("relax.nn.relu", partition=keep_group, annotate=keep_kind, realize=on_data),
    Rule("relax.clip", partition=keep_group, annotate=keep_kind, realize=_realize_clip),
)
