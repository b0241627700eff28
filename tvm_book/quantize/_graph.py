"""`main` seen as an expression graph, and the one way in which passes rebuild it.

Relax writes a function as a list of bindings; the rules of the quantizer speak of expressions that
are visited depth-first from the result, operands left to right. `Graph` gives that view.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tvm
from tvm import IRModule, relax
from tvm.ir import GenericConst, Op

from .. import frontend
from ._emitter import Emitter

__all__ = ["Graph", "Rebuilder", "map_operands", "module_path", "op_name", "operands", "to_numpy"]


def op_name(expr: Any) -> str:
    """Name of the operator that ``expr`` calls, ``""`` if it is no operator call."""
    return expr.op.name if isinstance(expr, relax.Call) and isinstance(expr.op, Op) else ""


def module_path(var: relax.Expr) -> str:
    """Path of the source model's module that made a variable, ``""`` if it is not known."""
    return frontend.module_path(var) if isinstance(var, relax.Var) else ""


def to_numpy(constant: GenericConst) -> np.ndarray:
    """Copy a Relax constant into a NumPy array, 0-d ones too."""
    value = constant.value
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def operands(expr: relax.Expr) -> Iterator[relax.Expr]:
    """Variables and constants that ``expr`` reads, left to right, tuples opened."""
    if isinstance(expr, (relax.Var, GenericConst)):
        yield expr
    elif isinstance(expr, relax.Tuple):
        for field in expr.fields:
            yield from operands(field)
    elif isinstance(expr, relax.TupleGetItem):
        yield from operands(expr.tuple_value)
    elif isinstance(expr, relax.Call):
        for arg in expr.args:
            yield from operands(arg)


def map_operands(expr: relax.Expr, replace: Callable[[relax.Expr], relax.Expr]) -> relax.Expr:
    """Copy ``expr`` with each variable and constant that it reads replaced.

    What is not replaced is not copied, and so keeps its type.
    """
    if isinstance(expr, (relax.Var, GenericConst)):
        return replace(expr)
    if isinstance(expr, relax.TupleGetItem):
        source = map_operands(expr.tuple_value, replace)
        return expr if source.same_as(expr.tuple_value) else relax.TupleGetItem(source, expr.index)
    if not isinstance(expr, (relax.Tuple, relax.Call)):
        return expr
    parts = list(expr.fields if isinstance(expr, relax.Tuple) else expr.args)
    new = [map_operands(part, replace) for part in parts]
    if all(a.same_as(b) for a, b in zip(parts, new, strict=True)):
        return expr
    if isinstance(expr, relax.Tuple):
        return relax.Tuple(new)
    return relax.Call(expr.op, new, expr.attrs, expr.ty_args)


class Graph:
    """The bindings of a pure, straight-line Relax function.

    Parameters
    ----------
    func : tvm.relax.Function

    Raises
    ------
    ValueError
        If the function branches, matches shapes at run time, or has dynamic shapes.
    """

    def __init__(self, func: relax.Function):
        self.func = func
        self.params = list(func.params)
        self.bindings: dict[relax.Var, relax.Expr] = {}
        self._reads: dict[relax.Var, list[relax.Expr]] = {}
        for block in func.body.blocks:
            for binding in block.bindings:
                value = getattr(binding, "value", None)
                if not isinstance(binding, relax.VarBinding) or isinstance(
                    value, (relax.If, relax.Function)
                ):
                    raise ValueError(
                        "main has control flow or run-time shape matching at "
                        f"{binding.var}; only straight-line functions can be quantized: "
                        "export the model with fixed input shapes and without branches"
                    )
                self._bind(binding.var, value)
        self.output = map_operands(func.body.body, self._inline)

    def _bind(self, var: relax.Var, value: relax.Expr) -> None:
        value = map_operands(value, self._inline)
        if isinstance(value, relax.TupleGetItem) and isinstance(value.tuple_value, relax.Tuple):
            value = value.tuple_value.fields[value.index]
        self.bindings[var] = value
        self._reads[var] = list(operands(value))

    def _inline(self, expr: relax.Expr) -> relax.Expr:
        """Return what an alias, a tuple or a bound constant stands for: they are no nodes."""
        bound = self.bindings.get(expr) if isinstance(expr, relax.Var) else None
        return bound if isinstance(bound, (relax.Var, relax.Tuple, GenericConst)) else expr

    def post_order(self) -> list[relax.Var]:
        """Bound variables in visiting order: each after its operands; dead ones left out."""
        order: list[relax.Var] = []
        seen: set[relax.Var] = set()
        stack = [(leaf, False) for leaf in reversed(list(operands(self.output)))]
        while stack:
            var, expanded = stack.pop()
            if expanded:
                order.append(var)
            elif isinstance(var, relax.Var) and var in self.bindings and var not in seen:
                seen.add(var)
                stack.append((var, True))
                stack += [(leaf, False) for leaf in reversed(self._reads[var])]
        return order

    def use_counts(self) -> Counter:
        """How many operand places, the result among them, read each variable."""
        counts: Counter = Counter(operands(self.output))
        for var in self.post_order():
            counts.update(self._reads[var])
        return counts

    def behind(self, leaf: relax.Expr, hands_on: Callable[[Any], bool]) -> relax.Expr:
        """Return where a value comes from, past operators that hand on their first operand."""
        while hands_on(self.bindings.get(leaf)):
            leaf = self.bindings[leaf].args[0]
        return leaf

    def value(self, expr: relax.Expr) -> relax.Expr:
        """Return the bound value behind a variable; other expressions are their own value."""
        while isinstance(expr, relax.Var) and expr in self.bindings:
            expr = self.bindings[expr]
        return expr


class Rebuilder:
    """Emits ``main`` anew, in visiting order; a pass overrides `visit`.

    Parameters
    ----------
    mod : IRModule
        Stays as it is.

    Attributes
    ----------
    graph : Graph
        The function as it was.
    builder : Emitter
        Takes the new bindings.
    values : dict
        What `visit` returned for each variable so far; parameters stand for themselves.
    pass_name : str
        What instruments see; the name of the class if empty.
    """

    pass_name = ""

    def __init__(self, mod: IRModule):
        self.mod = mod
        self.graph = Graph(mod["main"])
        self.builder = Emitter()
        self.values: dict[relax.Var, Any] = {param: param for param in self.graph.params}

    @classmethod
    def as_pass(cls, *args: Any) -> tvm.transform.Pass:
        """Wrap the rewrite into a module pass that instruments see."""

        def transform(mod: IRModule, _context) -> IRModule:
            return cls(mod, *args).run()

        name = cls.pass_name or cls.__name__
        return tvm.transform.module_pass(transform, opt_level=0, name=name)

    def __getitem__(self, leaf: relax.Expr) -> Any:
        """Return the value of a variable or, for constants, the constant."""
        return self.values[leaf] if isinstance(leaf, relax.Var) else leaf

    def visit(self, var: relax.Var, expr: relax.Expr) -> Any:
        """Turn one binding into a value: here, a copy of it."""
        return self.copy(expr)

    def result(self, expr: relax.Expr) -> relax.Expr:
        """Make the function's result out of the values."""
        return map_operands(expr, self.__getitem__)

    def emit(self, expr: relax.Expr, leaves: Iterable[relax.Expr]) -> relax.Expr:
        """Emit ``expr`` with its operands replaced, left to right, by ``leaves``."""
        queue = iter(leaves)
        return self.builder.emit(map_operands(expr, lambda _: next(queue)))

    def copy(self, expr: relax.Expr) -> relax.Expr:
        """Emit ``expr`` with its operands replaced by their values."""
        return self.builder.emit(map_operands(expr, self.__getitem__))

    def run(self) -> IRModule:
        """Visit everything and return the module with the new ``main``."""
        for var in self.graph.post_order():
            self.builder.path = module_path(var)
            self.values[var] = self.visit(var, self.graph.bindings[var])
        self.builder.path = ""
        result = self.result(self.graph.output)
        function = self.builder.function(self.graph.params, result, self.graph.func.attrs)
        new = self.mod.clone()
        new.update_func(new.get_global_var("main"), function)
        return new
