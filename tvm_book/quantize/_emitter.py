"""Collect the bindings of a new Relax function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tvm import relax
from tvm.ir import GenericConst

from ..frontend._paths import path_to_name

__all__ = ["Emitter"]


class Emitter:
    """Emits expressions into one dataflow block and makes a function of it.

    `tvm.relax.BlockBuilder` does the same inside ``with`` scopes, but prints a warning of its own
    when an error leaves them; here an error leaves nothing behind.

    Attributes
    ----------
    path : str
        Module path that the next variables are named after; ``""`` numbers them.

    Examples
    --------
    >>> from tvm import relax
    >>> x = relax.Var("x", relax.TensorType((2,), "float32"))
    >>> emitter = Emitter()
    >>> y = emitter.emit(relax.op.add(x, x))
    >>> len(emitter.function([x], y).body.blocks[0].bindings)
    1
    """

    def __init__(self):
        self._typer = relax.BlockBuilder()
        self._bindings: list[relax.VarBinding] = []
        self.path = ""

    def emit(self, expr: relax.Expr) -> relax.Expr:
        """Bind an expression to a new variable and return it; variables are returned as such."""
        if isinstance(expr, (relax.Var, GenericConst)):
            return expr
        expr = self._typer.normalize(expr)
        var = relax.DataflowVar(self._name(), expr.ty)
        self._bindings.append(relax.VarBinding(var, expr))
        return var

    def _name(self) -> str:
        return path_to_name(self.path) if self.path else f"lv{len(self._bindings) or ''}"

    def function(
        self,
        params: Sequence[relax.Var],
        result: relax.Expr,
        attrs: Mapping[str, Any] | None = None,
    ) -> relax.Function:
        """Return the pure function of ``params`` that ends in ``result``."""
        result = self._typer.normalize(result)
        bindings, name = list(self._bindings), "gv"
        if bindings and result.same_as(bindings[-1].var):
            last = bindings.pop()  # bound once, as the output
            result = last.value
            name = name if last.var.name.startswith("lv") else last.var.name
        output = relax.Var(name, result.ty)
        block = relax.DataflowBlock([*bindings, relax.VarBinding(output, result)])
        function = relax.Function(list(params), relax.SeqExpr([block], output), result.ty)
        return self._typer.normalize(function.with_attrs(dict(attrs)) if attrs else function)
