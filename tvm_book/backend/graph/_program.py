"""What is computed on each element behind an anchor: a tree of operators on vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax
from tvm.ir import GenericConst
from tvm.script.ir_builder import tirx as T

from ...quantize._graph import Graph, op_name, to_numpy
from ..kernels._elementwise import ELEMENTWISE, splat
from ..kernels._kernel import Array
from ..kernels._view import View

__all__ = ["Leaf", "Program", "constant_view", "per_channel"]

Expr = Any

# Operators whose further operands lie along the axis that is an attribute.
ALONG_AXIS = ("relax.quantize", "relax.dequantize", "relax.nn.bias_add", "relax.nn.prelu")


class Leaf:
    """An operand that a program loads: a tensor between kernels, or a constant that is no scalar.

    Parameters
    ----------
    expr : relax.Expr
    array : np.ndarray, optional
        The constant.
    table : bool, optional
        Whether the constant is indexed by another operand, rather than broadcast.
    """

    def __init__(
        self, expr: relax.Expr, array: np.ndarray | None = None, table: bool = False
    ) -> None:
        self.expr, self.constant, self.table = expr, array, table

    def lay_out(self, shape: Sequence[int], axis: int, multiple: int) -> tuple[np.ndarray, View]:
        """Return the constant's array and how it is seen in the shape of the result."""
        if not self.table:
            return constant_view(self.constant, shape, axis, multiple)
        array, rank = self.constant, len(shape)
        dtype, halo = str(array.dtype), ((0, 0),) * rank
        return array, View(tuple(shape), dtype, dtype, array.shape, (0,) * rank, halo=halo)


class Program:
    """The operators of a group, from its anchor to its result.

    Parameters
    ----------
    graph : Graph
    members : set of relax.Var
        Bindings that the group computes itself.
    anchor : relax.Var or None
        Whose value a kernel provides.
    result : relax.Var
    """

    def __init__(
        self,
        graph: Graph,
        members: set[relax.Var],
        anchor: relax.Var | None,
        result: relax.Var,
    ) -> None:
        self.graph, self.members, self.anchor, self.result = graph, members, anchor, result
        self.leaves: dict[Any, Leaf] = {}
        self._collect(result, set())

    def _collect(self, expr: relax.Expr, seen: set) -> None:
        for key, leaf in self._operands(expr):
            if leaf is not None:
                self.leaves.setdefault(key, leaf)
            elif key != self.anchor and key not in seen:
                seen.add(key)
                self._collect(key, seen)

    def _operands(self, var: relax.Var) -> list[tuple[Any, Leaf | None]]:
        """Operands of a member: (variable, None) inside, (key, leaf) outside, scalars left out."""
        if var == self.anchor:
            return []
        if var not in self.members:
            return [(var, Leaf(var))]
        call, found = self.graph.bindings[var], []
        for place, arg in enumerate(tensor_operands(call)):
            if isinstance(arg, GenericConst):
                array = constant_operand(call, place, arg)
                table = is_table(call, place)
                if array.size != 1 or table:
                    found.append(((var, place), Leaf(arg, array, table)))
            elif arg == self.anchor or arg in self.members:
                found.append((arg, None))
            else:
                found.append((arg, Leaf(arg)))
        return found

    def value(
        self, arrays: dict[Any, Array], index: Sequence[Expr], axis: int, lanes: int, anchor: Expr
    ) -> Expr:
        """Return `lanes` elements of the result along an axis, as an expression."""
        known: dict[Any, Expr] = {self.anchor: anchor} if self.anchor is not None else {}

        def load(key: Any) -> Expr:
            return arrays[key].load(index, axis, lanes)

        def evaluate(var: relax.Var) -> Expr:
            if var in known:
                return known[var]
            if var not in self.members:
                known[var] = T.bind(load(var))
                return known[var]
            call, args = self.graph.bindings[var], []
            for place, arg in enumerate(tensor_operands(call)):
                if not isinstance(arg, GenericConst):
                    args.append(evaluate(arg))
                    continue
                array = constant_operand(call, place, arg)
                if is_table(call, place):
                    args.append(arrays[var, place])
                elif array.size == 1:
                    args.append(splat(array.reshape(()).item(), str(array.dtype), lanes))
                else:
                    args.append(load((var, place)))
            result = ELEMENTWISE[op_name(call)](call, args, lanes)
            # TVM 0.27 cannot analyse the range of a vector of comparisons that has a name.
            known[var] = result if str(call.ty.dtype) == "bool" else T.bind(result)
            return known[var]

        return evaluate(self.result)


def tensor_operands(call: relax.Call) -> list[relax.Expr]:
    """Operands that are tensors; the ends of a clip are none, nor is an exponent."""
    if op_name(call) in ("relax.clip", "relax.astype", "relax.power"):
        return [call.args[0]]
    return list(call.args)


def is_table(call: relax.Call, place: int) -> bool:
    """Whether an operand is indexed by another one."""
    return op_name(call) == "relax.take" and place == 0


def constant_operand(call: relax.Call, place: int, constant: GenericConst) -> np.ndarray:
    """Return a constant operand in a shape that broadcasts with the result."""
    array = to_numpy(constant)
    if op_name(call) in ALONG_AXIS and place and array.size > 1:
        rank = len(call.ty.shape)
        shape = [1] * rank
        shape[int(call.attrs["axis"])] = array.size
        array = array.reshape(shape)
    return array


def per_channel(array: np.ndarray, rank: int, axis: int) -> np.ndarray | None:
    """Return the values along one axis, if a constant depends on that axis alone."""
    full = array.reshape((1,) * (rank - array.ndim) + array.shape)
    others = [n for a, n in enumerate(full.shape) if a != axis]
    return full.reshape(-1) if all(n == 1 for n in others) else None


def constant_view(
    array: np.ndarray, shape: Sequence[int], axis: int, multiple: int
) -> tuple[np.ndarray, View]:
    """Lay a constant out for vectors along an axis; int64 that fits is stored as int32."""
    dtype = str(array.dtype)
    full = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    limits = np.iinfo("int32")
    if dtype == "int64" and limits.min <= full.min() and full.max() <= limits.max:
        full = full.astype("int32")
    order = [a for a in range(len(shape)) if a != axis] + [axis]
    moved = full.transpose(order)
    missing = -moved.shape[-1] % multiple if moved.shape[-1] > 1 else 0
    moved = np.pad(moved, [(0, 0)] * (moved.ndim - 1) + [(0, missing)])
    strides, step = [0] * len(shape), 1
    for a, n in zip(reversed(order), reversed(moved.shape), strict=True):
        strides[a] = step if full.shape[a] > 1 else 0
        step *= n
    halo = ((0, 0),) * len(shape)
    flat = np.ascontiguousarray(moved).reshape(-1)
    view = View(
        tuple(shape), dtype, str(full.dtype), flat.shape, tuple(strides), halo=halo, slack=missing
    )
    return flat, view
