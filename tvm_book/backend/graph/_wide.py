"""Which 64-bit chains of a program can be computed on pairs of vectors, and how.

That is the requantization which the quantizer emits: sums of casts times constants, plus a
constant, shifted right by 32 bits or more, clipped and cast to a narrow type. A program with
anything else of 64 bits in it is computed as it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax
from tvm.ir import GenericConst
from tvm.script.ir_builder import tirx as T

from ...quantize._graph import Graph, op_name, to_numpy
from ..kernels._elementwise import splat
from ..kernels._kernel import vector
from ..kernels._pair import HALF, join, widen

__all__ = ["fits", "is_chain", "pair_value", "touches_wide"]

WIDE = "int64"
SUMS = {"relax.add": lambda a, b: a + b, "relax.subtract": lambda a, b: a - b}
NARROW = {"int8", "int16", "int32"}


def fits(array: np.ndarray) -> bool:
    """Whether integers fit into 32 bits."""
    limits = np.iinfo("int32")
    return bool(limits.min <= array.min() and array.max() <= limits.max)


def is_chain(graph: Graph, members: set[relax.Var], result: relax.Var) -> bool:
    """Whether all 64-bit operators among the members are those of a requantization."""
    if str(result.ty.dtype) == WIDE:
        return False
    wide = [var for var in members if str(var.ty.dtype) == WIDE]
    read = [var for var in members if touches_wide(graph.bindings[var])]
    return bool(wide) and all(_allowed(graph, var, members) for var in {*wide, *read})


def touches_wide(call: relax.Call) -> bool:
    """Whether an operator gives or takes numbers of 64 bits."""
    tensors = [call, *(a for a in call.args if isinstance(a, (relax.Var, GenericConst)))]
    return any(str(getattr(x.ty, "dtype", "")) == WIDE for x in tensors)


def _allowed(graph: Graph, var: relax.Var, members: set[relax.Var]) -> bool:
    call = graph.bindings[var]
    name, first = op_name(call), call.args[0]
    if name == "relax.astype":
        source = str(first.ty.dtype)
        if source == WIDE:
            return str(call.ty.dtype) in NARROW and _is_narrow(graph, first, members)
        return source in NARROW and isinstance(first, relax.Var)
    if name == "relax.multiply":
        return all(_is_factor(graph, arg, members) for arg in call.args)
    if name in SUMS:
        return all(_is_wide(graph, arg, members) for arg in call.args)
    if name == "relax.right_shift":
        return _is_wide(graph, first, members) and _shift(call) is not None
    if name == "relax.clip":
        return _is_narrow(graph, first, members)
    return False


def _is_factor(graph: Graph, arg: relax.Expr, members: set[relax.Var]) -> bool:
    """Whether an operand is a number of 32 bits made wider."""
    if isinstance(arg, GenericConst):
        return fits(to_numpy(arg))
    return arg in members and op_name(graph.bindings[arg]) == "relax.astype"


def _is_wide(graph: Graph, arg: relax.Expr, members: set[relax.Var]) -> bool:
    names = ("relax.astype", "relax.multiply", *SUMS)
    inside = isinstance(arg, relax.Var) and arg in members
    return isinstance(arg, GenericConst) or (inside and op_name(graph.bindings[arg]) in names)


def _is_narrow(graph: Graph, arg: relax.Expr, members: set[relax.Var]) -> bool:
    """Whether an operand is a shifted sum, which fits into 32 bits."""
    names = ("relax.right_shift", "relax.clip")
    return arg in members and op_name(graph.bindings[arg]) in names


def _shift(call: relax.Call) -> int | None:
    """Bits of a shift that leaves numbers of 32 bits."""
    bits = call.args[1]
    if not isinstance(bits, GenericConst) or to_numpy(bits).size != 1:
        return None
    number = int(to_numpy(bits).reshape(()))
    return number if HALF <= number < 2 * HALF else None


def pair_value(call: relax.Call, args: list[Any], lanes: int) -> Any:
    """Return what an operator of such a chain gives: a `Pair`, or a vector of int32 behind a shift.

    Parameters
    ----------
    call : tvm.relax.Call
        It gives or takes 64-bit numbers.
    args : list
        Operands: pairs, or vectors where they are narrow.
    lanes : int
    """
    return _VALUES[op_name(call)](call, args, lanes)


def _cast(call: relax.Call, args: list[Any], lanes: int) -> Any:
    if str(call.ty.dtype) == WIDE:
        return widen(T.cast(args[0], vector("int32", lanes)), lanes)
    return T.bind(T.cast(args[0], vector(str(call.ty.dtype), lanes)))


def _clip(call: relax.Call, args: list[Any], lanes: int) -> Any:
    limits = np.iinfo("int32")
    ends = [int(np.clip(int(end.value), limits.min, limits.max)) for end in call.args[1:3]]
    low, high = (splat(end, "int32", lanes) for end in ends)
    return T.max(T.min(args[0], high), low)


def _each(function: Callable) -> Callable:
    return lambda call, args, lanes: args[0].each(function, args[1])


_VALUES: dict[str, Callable[[relax.Call, list[Any], int], Any]] = {
    "relax.astype": _cast,
    "relax.clip": _clip,
    "relax.multiply": _each(lambda a, b: a * b),
    "relax.right_shift": lambda call, args, lanes: T.bind(join(args[0], _shift(call), lanes)),
    **{name: _each(function) for name, function in SUMS.items()},
}
