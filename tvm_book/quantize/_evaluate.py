"""Run ``main`` on data with torch, operator by operator, and show values on the way.

Far faster than unscheduled TVM loops, and without compiling anything. An operator, or a
combination of attributes, that is not in the table is compiled by TVM, alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tvm import IRModule, relax
from tvm.ir import GenericConst

from ._evaluate_ops import OPERATORS
from ._evaluate_tvm import compile_call
from ._graph import Graph, op_name, operands, to_numpy

__all__ = ["Evaluator", "evaluate_call"]

Value = torch.Tensor | tuple


class Evaluator:
    """Computes chosen values of a function, and nothing that they do not need.

    Parameters
    ----------
    graph : Graph
    wanted : sequence of tvm.relax.Expr
        Variables, constants, or tuples of them, of the graph.
    mod : IRModule, optional
        Where the functions are that the graph calls, if it calls any.

    Attributes
    ----------
    order : list of tvm.relax.Var
        What is computed, in this order.

    Examples
    --------
    >>> from tvm import relax
    >>> from tvm_book.quantize._emitter import Emitter
    >>> x, emitter = relax.Var("x", relax.TensorType((2, 2), "float32")), Emitter()
    >>> y = emitter.emit(relax.op.nn.relu(x))
    >>> graph = Graph(emitter.function([x], relax.op.sum(y)))
    >>> positive, total = Evaluator(graph, [y, graph.output])(
    ...     {"x": np.array([[1, -2], [-3, 4]], "float32")}
    ... )
    >>> positive
    array([[1., 0.],
           [0., 4.]], dtype=float32)
    >>> float(total)
    5.0
    """

    def __init__(self, graph: Graph, wanted: Sequence[relax.Expr], mod: IRModule | None = None):
        part = copy.copy(graph)
        part.output = relax.Tuple(list(wanted))
        self._graph, self._wanted, self._mod = graph, list(wanted), mod
        self.order = part.post_order()
        self._constants: dict[relax.Expr, torch.Tensor] = {}
        self._compiled: dict[relax.Var, Callable[..., Value]] = {}
        self._plan()

    def _plan(self) -> None:
        """Note when each wanted value is complete, and after which step each value is unused."""
        step = self._steps = {var: number for number, var in enumerate(self.order)}
        self._ready: dict[int, list[int]] = {}
        last: dict[relax.Expr, int] = {}
        for index, expr in enumerate(self._wanted):
            ready = max((step.get(leaf, -1) for leaf in operands(expr)), default=-1)
            self._ready.setdefault(ready, []).append(index)
            last.update((leaf, max(last.get(leaf, -1), ready)) for leaf in operands(expr))
        for number, var in enumerate(self.order):
            for leaf in operands(self._graph.bindings[var]):
                last[leaf] = max(last.get(leaf, -1), number)
        self._params = [param for param in self._graph.params if param in last]
        self._unused: dict[int, list[relax.Var]] = {}
        for leaf, number in last.items():
            if isinstance(leaf, relax.Var):
                self._unused.setdefault(number, []).append(leaf)
            else:
                self._constants[leaf] = _to_torch(to_numpy(leaf))

    @torch.no_grad()
    def run(self, inputs: Mapping[str, np.ndarray], watch: Callable[[int, Value], None]) -> None:
        """Compute, and hand on each wanted value as soon as it is there.

        Parameters
        ----------
        inputs : mapping from parameter name to numpy.ndarray
            Parameters that no wanted value needs may be left out.
        watch : callable (index, value) -> None
            Called once for each of ``wanted`` with its index and its value, which must not be
            changed. A value is freed after its last use, unless ``watch`` keeps it.
        """
        values = self.start(inputs)
        self._finish(-1, values, watch)
        for number, var in enumerate(self.order):
            values[var] = self.step(var, values)
            self._finish(number, values, watch)

    def start(self, inputs: Mapping[str, np.ndarray]) -> dict[relax.Expr, Value]:
        """Return the values known before the first step: constants and parameters."""
        values: dict[relax.Expr, Value] = dict(self._constants)
        values.update((param, _to_torch(inputs[param.name])) for param in self._params)
        return values

    @torch.no_grad()
    def step(self, var: relax.Var, values: Mapping[relax.Expr, Value]) -> Value:
        """Compute one variable of `order` from the values before it."""
        return self._compute(var, self._graph.bindings[var], values)

    def forget(self, var: relax.Var, values: dict[relax.Expr, Value]) -> None:
        """Drop what no variable after ``var`` reads."""
        for leaf in self._unused.get(self._steps[var], ()):
            values.pop(leaf, None)

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> list[Any]:
        """Return the wanted values as arrays (tuples of arrays for tuples), in their order."""
        found: dict[int, Any] = {}
        self.run(inputs, lambda index, value: found.update({index: _to_numpy(value)}))
        return [found[index] for index in range(len(self._wanted))]

    def _finish(self, number: int, values: dict, watch: Callable[[int, Value], None]) -> None:
        for index in self._ready.get(number, ()):
            watch(index, _value(self._wanted[index], values))
        for leaf in self._unused.get(number, ()):
            del values[leaf]

    def _compute(self, var: relax.Var, expr: relax.Expr, values: dict) -> Value:
        if not isinstance(expr, relax.Call):
            return _value(expr, values)
        args = [_value(arg, values) for arg in expr.args if _is_data(arg)]
        if var not in self._compiled:
            result = _with_torch(expr, args)
            if result is not NotImplemented:
                return result
            self._compiled[var] = compile_call(expr, args, self._mod)
        return self._compiled[var](args)


@torch.no_grad()
def evaluate_call(call: relax.Call, args: Sequence[Value], mod: IRModule | None = None) -> Value:
    """Compute one operator on tensors.

    Parameters
    ----------
    call : tvm.relax.Call
        Says which operator, with which attributes, shapes and numbers.
    args : sequence of torch.Tensor or tuple of torch.Tensor
        Values of its arguments, left to right, constants among them; those that are shapes or
        numbers are left out. Pointwise operators take any shapes that broadcast.
    mod : IRModule, optional
        Where the function is that ``call`` calls, if it calls one.

    Returns
    -------
    torch.Tensor or tuple of torch.Tensor

    Raises
    ------
    NotImplementedError
        If neither the table nor TVM knows the operator.

    Examples
    --------
    >>> x = relax.Var("x", relax.TensorType((8, 8), "float32"))
    >>> evaluate_call(relax.op.clip(x, 0, 6), [torch.tensor([-1.0, 2.0, 7.0])])
    tensor([0., 2., 6.])
    """
    result = _with_torch(call, args)
    return compile_call(call, args, mod)(args) if result is NotImplemented else result


def _with_torch(call: relax.Call, args: Sequence[Value]) -> Value:
    row = OPERATORS.get(op_name(call))
    if row is None:
        return NotImplemented
    rest = iter(args)
    return row(call, *(next(rest) if _is_data(arg) else _static(arg) for arg in call.args))


def _is_data(arg: Any) -> bool:
    """Whether an argument is a tensor or a tuple of tensors; others are known beforehand."""
    if isinstance(arg, relax.Tuple):
        return not arg.fields or any(map(_is_data, arg.fields))
    return isinstance(arg, (relax.Var, GenericConst, relax.TupleGetItem))


def _static(arg: Any) -> Any:
    if isinstance(arg, relax.Tuple):
        return tuple(map(_static, arg.fields))
    if isinstance(arg, relax.ShapeExpr):
        return tuple(int(extent) for extent in arg.values)
    return getattr(arg, "value", arg)


def _value(expr: Any, values: Mapping[relax.Expr, Value]) -> Value:
    if not _is_data(expr):
        return _static(expr)
    if isinstance(expr, relax.Tuple):
        return tuple(_value(field, values) for field in expr.fields)
    if isinstance(expr, relax.TupleGetItem):
        return _value(expr.tuple_value, values)[expr.index]
    return values[expr]


def _to_torch(array: np.ndarray) -> torch.Tensor:
    # Writable, because torch warns otherwise; at a multiple of 64 bytes, so that vectorized sums
    # add in the same order wherever the caller's array lies.
    tensor = torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))
    return tensor.clone() if tensor.data_ptr() % 64 else tensor


def _to_numpy(value: Value) -> Any:
    return tuple(map(_to_numpy, value)) if isinstance(value, tuple) else value.numpy()
