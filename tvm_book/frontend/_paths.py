"""Module paths as the names of the variables that hold what the modules compute."""

from __future__ import annotations

import keyword
from typing import Any

from tvm import relax

_ANONYMOUS = ("lv", "gv")  # how names begin that Relax's own builders make up


def path_to_name(path: str) -> str:
    """Return the name of a variable that a module's operator is bound to.

    It is the path itself, except that TVMScript could not be parsed back with a variable such as
    ``0`` or ``class``, and that nothing would tell ``lv2`` from a name without a meaning. Those get
    a dot in front, which prints as ``_``.

    Parameters
    ----------
    path : str
        Such as ``"layer1.0.conv1"``.

    Returns
    -------
    str
    """
    printable = not path[:1].isdigit() and not keyword.iskeyword(path)
    return path if printable and not path.startswith(_ANONYMOUS) else f".{path}"


def module_path(variable: relax.Var) -> str:
    """Return the path of the module whose operator a variable holds the result of.

    Parameters
    ----------
    variable : tvm.relax.Var
        Bound in the function ``main`` of an imported model, or of what passes that keep names made
        of it.

    Returns
    -------
    str
        Such as ``"layer1.0.conv1"``; empty for an operator of the model itself, or of no known
        module.

    Examples
    --------
    >>> from torch import nn
    >>> from tvm_book.frontend import from_pytorch, module_path
    >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    >>> mod, params = from_pytorch(model, [("data", (1, 3, 8, 8))])
    >>> bindings = mod["main"].body.blocks[0].bindings
    >>> [module_path(binding.var) for binding in bindings]
    ['0', '0', '0', '1']
    """
    name = variable.name
    return "" if name.startswith(_ANONYMOUS) else name.removeprefix(".")


class PathBuilder(relax.BlockBuilder):
    """A block builder that names what it emits after the module of the moment.

    Attributes
    ----------
    path : str
        The module's path; while it is empty, variables get the names that Relax makes up.
    """

    # `BlockBuilder.emit` takes a name too, but makes it unique and writes "_" for ".".
    path = ""

    def emit(self, expr: Any, name_hint: str = "") -> relax.Var:
        """Bind an expression, and each operator inside it, to a variable."""
        if not self.path or not isinstance(expr, relax.Call | relax.TupleGetItem):
            return super().emit(expr, name_hint)
        return self._bind(relax.DataflowVar, self.normalize(self._flat(expr)))

    def emit_results(self, results: list[relax.Expr]) -> relax.Var:
        """Bind the output of the dataflow block: one result, or a tuple of several."""
        only = results[0]
        # an input or a constant has no module
        self.path = module_path(only) if isinstance(only, relax.DataflowVar) else ""
        if len(results) > 1 or not self.path:
            return self.emit_output(only if len(results) == 1 else relax.Tuple(results))
        return self._bind(relax.Var, only)

    def _bind(self, kind: type, expr: relax.Expr) -> relax.Var:
        variable = kind(path_to_name(self.path), expr.ty)
        self.emit_normalized(relax.VarBinding(variable, expr))
        return variable

    def _flat(self, expr: relax.Expr) -> relax.Expr:
        if isinstance(expr, relax.TupleGetItem):
            return relax.TupleGetItem(self._leaf(expr.tuple_value), expr.index)
        return relax.Call(expr.op, [self._leaf(a) for a in expr.args], expr.attrs, expr.ty_args)

    def _leaf(self, expr: relax.Expr) -> relax.Expr:
        if isinstance(expr, relax.Tuple):
            return relax.Tuple([self._leaf(field) for field in expr.fields])
        # an argument that is left out is a call too, of an operator without arguments
        if isinstance(expr, relax.TupleGetItem) or getattr(expr, "args", None):
            return self.emit(expr)
        return expr
