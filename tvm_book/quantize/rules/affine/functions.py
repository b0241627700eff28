"""Functions of one tensor, element by element: limits in integers, all others by a table.

An accumulator is rounded to 4096 steps before it indexes a table, sixteen times finer than the
result, so that a table is as accurate as computing in float; a tensor that is narrow already
indexes a table of 256.
"""

from __future__ import annotations

import math

import numpy as np
from tvm import relax
from tvm.ir import GenericConst

from ..._graph import op_name, to_numpy
from ...annotate import ACTIVATION, INPUT, Annotated
from ...calibrate._statistic import TABLE_BITS
from ..rule import Rule, dequantize_all
from .annotating import narrow, table_base, when_demanded
from .values import Affine, Function

__all__ = ["POINTWISE", "RULES", "as_function", "combine", "pointwise"]


def as_function(value) -> Function | None:
    """Return a value as a look-up in a narrow tensor, None if it is not one."""
    if isinstance(value, Function) or not isinstance(value, Affine):
        return value if isinstance(value, Function) else None
    term = value.terms[0]
    single = len(value.terms) == 1 and term.scale.size == 1 and value.offset.size == 1
    if not single or term.dtype not in ("int8", "int16"):
        return None
    function = Function.identity(term, 256 if term.dtype == "int8" else 1 << TABLE_BITS)
    values = np.clip(function.values + np.float32(value.offset), value.low, value.high)
    return Function(term, values.astype(np.float32))


def combine(r, call: relax.Call, args: list) -> Function | None:
    """Apply an operator to functions of one tensor and to scalar constants."""
    import torch  # slow to import, and few models have such functions

    from ..._evaluate import evaluate_call

    functions = [as_function(arg) for arg in args]
    bases = [function.base for function in functions if function is not None]
    if not bases or not all(base.expr.same_as(bases[0].expr) for base in bases):
        return None
    values = []
    for function, arg in zip(functions, args, strict=True):
        if function is not None:
            values.append(torch.from_numpy(function.values))
        elif not isinstance(arg, GenericConst) or to_numpy(arg).size != 1:
            return None
        else:
            values.append(torch.from_numpy(to_numpy(arg).astype(np.float32).reshape(-1)))
    return Function(bases[0], evaluate_call(call, values).numpy().astype(np.float32))


@when_demanded
def _annotate_table(a, call, args):
    x = table_base(a, args[0])
    return Annotated(a.emit(call, [x.expr]), ACTIVATION, base=x.base)


def _realize_table(r, call, args):
    return combine(r, call, args) or dequantize_all(r, call, args)


@when_demanded
def _annotate_limits(a, call, args):
    (x,) = args
    if x.base is not None:
        return Annotated(a.emit(call, [x.expr]), ACTIVATION, base=x.base)
    if x.kind == ACTIVATION and not x.shared:
        return Annotated(a.emit(call, [x.expr]), ACTIVATION, clamped=True)
    return Annotated(a.emit(call, [narrow(a, call, args, 0)]), INPUT)


def _realize_limits(r, call, args):
    """On narrow integers at once; on others where they are rounded next."""
    (x,) = args
    if not isinstance(x, (Affine, Function)):  # tensors that nobody asked to join in integers, too
        return dequantize_all(r, call, args)
    low, high = _limits(call)
    if isinstance(x, Function):
        return combine(r, call, args)
    term = x.terms[0]
    plain = len(x.terms) == 1 and not x.is_clamped and not np.any(x.offset)
    if not (plain and term.dtype == "int8" and term.scale.size == 1):
        return x.clamp(low, high)
    scale, zero_point = float(term.scale), int(term.zero_point)
    ends = sorted(_step(limit, scale, zero_point) for limit in (low, high))
    return x.map(lambda data: r.arith.clip(data, *ends))


def _step(limit: float, scale: float, zero_point: int) -> int:
    if math.isinf(limit):
        return -128 if (limit < 0) == (scale > 0) else 127
    return min(max(round(limit / scale) + zero_point, -128), 127)


def _limits(call: relax.Call) -> tuple[float, float]:
    if op_name(call) == "relax.nn.relu":
        return 0.0, math.inf
    low, high = (float(bound.value) for bound in call.args[1:])
    return low, high


def _is_float(call: relax.Call) -> bool:
    return str(call.args[0].ty.dtype) == "float32"


def pointwise(op: str, **options) -> Rule:
    """Make the rule of an operator that computes each element from one element: a table.

    Parameters
    ----------
    op : str
        Relax's name of the operator, which takes one tensor.
    **options
        Further fields of `Rule`.

    Returns
    -------
    Rule

    Examples
    --------
    >>> from tvm_book.quantize import qconfig
    >>> qconfig(preset="accurate", rules=[pointwise("relax.negative")]).rules[0].asks
    'pass'
    """
    options.setdefault("when", _is_float)
    return Rule(op, annotate=_annotate_table, realize=_realize_table, asks="pass", **options)


POINTWISE = (
    "relax.sigmoid",
    "relax.tanh",
    "relax.nn.silu",
    "relax.nn.gelu",
    "relax.nn.gelu_tanh",
    "relax.nn.leakyrelu",
    "relax.nn.softplus",
    "relax.nn.selu",
    "relax.exp",
    "relax.log",
    "relax.sqrt",
    "relax.rsqrt",
    "relax.square",
    "relax.abs",
    "relax.negative",
    "relax.erf",
    "relax.sin",
    "relax.cos",
    "relax.floor",
    "relax.ceil",
)

RULES = (
    Rule("relax.nn.relu", annotate=_annotate_limits, realize=_realize_limits, asks="pass"),
    Rule(
        "relax.clip",
        when=_is_float,
        annotate=_annotate_limits,
        realize=_realize_limits,
        asks="pass",
    ),
    *(pointwise(op, why="by a table, as accurate as in float") for op in POINTWISE),
)
