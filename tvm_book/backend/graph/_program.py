"""What is computed on each element behind an anchor: a tree of operators on vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax, tirx
from tvm.ir import GenericConst
from tvm.script.ir_builder import tirx as T

from ...quantize._graph import Graph, op_name, operands, to_numpy
from ..kernels._elementwise import ELEMENTWISE, splat
from ..kernels._kernel import Array
from ..kernels._pair import Pair, spread, widen
from ..kernels._view import View
from ._wide import fits, is_chain, pair_value, touches_wide

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

    def lay_out(
        self, shape: Sequence[int], axis: int, multiple: int, paired: int
    ) -> tuple[np.ndarray, View]:
        """Return the constant's array and how it is seen in the shape of the result."""
        if not self.table:
            return constant_view(self.constant, shape, axis, multiple, paired)
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
    lanes : int
        Of a whole vector.
    """

    def __init__(
        self,
        graph: Graph,
        members: set[relax.Var],
        anchor: relax.Var | None,
        result: relax.Var,
        lanes: int,
    ) -> None:
        self.graph, self.members, self.anchor, self.result = graph, members, anchor, result
        chain = is_chain(graph, members - self._before_anchor(), result)
        self.paired = lanes if chain else 0
        self.leaves: dict[Any, Leaf] = {}
        self._collect(result, set())

    def _before_anchor(self) -> set[relax.Var]:
        """Members whose values the anchor contains."""
        found: set[relax.Var] = set()
        waiting = [self.anchor] if self.anchor is not None else []
        while waiting:
            var = waiting.pop()
            if var in self.members and var not in found:
                found.add(var)
                waiting += [a for a in operands(self.graph.bindings[var]) if a in self.members]
        return found

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
        pairs = lanes == self.paired and lanes > 1

        def wide(call: relax.Call, var: relax.Var) -> Expr:
            args = []
            for place, arg in enumerate(tensor_operands(call)):
                if not isinstance(arg, GenericConst):
                    args.append(evaluate(arg))
                    continue
                array = to_numpy(arg)
                if array.size == 1:
                    args.append(spread(tirx.const(int(array.reshape(())), "int64"), lanes))
                    continue
                loaded = arrays[var, place].halves(index, axis, lanes)
                if isinstance(loaded, tuple):
                    args.append(Pair(*map(T.bind, loaded)))
                else:
                    one = arrays[var, place].view.strides[axis] == 0
                    args.append((spread if one else widen)(loaded, lanes))
            return pair_value(call, args, lanes)

        def load(key: Any) -> Expr:
            return arrays[key].load(index, axis, lanes)

        def evaluate(var: relax.Var) -> Expr:
            if var in known:
                return known[var]
            if var not in self.members:
                known[var] = T.bind(load(var))
                return known[var]
            call, args = self.graph.bindings[var], []
            if pairs and touches_wide(call):
                known[var] = wide(call, var)
                return known[var]
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
    array: np.ndarray, shape: Sequence[int], axis: int, multiple: int, paired: int = 0
) -> tuple[np.ndarray, View]:
    """Lay a constant out for vectors along an axis; int64 that fits is stored as int32.

    If `paired` is not 0, other int64 lie in runs of so many, the even ones first.
    """
    dtype = str(array.dtype)
    full = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    if dtype == "int64" and fits(full):
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
    if str(full.dtype) != "int64" or not strides[axis] or flat.size % max(paired, 1):
        paired = 0
    if paired:
        flat = flat.reshape(-1, paired // 2, 2).transpose(0, 2, 1).reshape(-1)
    view = View(
        shape=tuple(shape),
        dtype=dtype,
        stored=str(full.dtype),
        extent=flat.shape,
        strides=tuple(strides),
        halo=halo,
        slack=missing,
        paired=paired,
    )
    return flat, view
