"""Walk the bindings of a Relax module and compute one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.ir import GenericConst, Op

from tvm_book._arguments import bind_arguments
from tvm_book._signature import signature
from tvm_book.testing._reference._operators import OPERATORS

__all__ = ["integer_reference"]


def integer_reference(mod: tvm.IRModule, *args: Any, **inputs: Any) -> np.ndarray | tuple:
    """Compute `main` of a quantized module in NumPy, operator by operator, exactly.

    It shares no code with the quantizer and the compiler, so that it can judge both. Slow beside
    compiled code, fast enough for whole networks.

    Integers are exact, and wrap around to the type of each operator's result. float32 operators
    round once each, as IEEE 754 says, and add up in the order of their indices: a convolution over
    its input channels, then rows, then columns of its kernel; a product over its depth; a pool over
    the rows, then columns of its window; a reduction over its axes from left to right. Compiled
    code that adds in that order, and rounds products before it adds them, has equal bits. What
    IEEE 754 leaves open, such as exponentials, normalizations and interpolation, is computed in
    float64 and rounded once; compiled code may be some units in the last place off there, and an
    integer behind it one step, where a value is close to a tie.

    A float that an integer type does not hold wraps around as well, while compiled code may do
    anything; quantized modules limit values before they convert them.

    Parameters
    ----------
    mod : tvm.IRModule
        A module of static shapes whose parameters are bound, as `tvm_book.quantize.quantize`
        returns it; `main` may call other Relax functions of the module.
    *args, **inputs : array
        The inputs of `main`, by position or by name, as a `tvm_book.CompiledModel` takes them.

    Returns
    -------
    numpy.ndarray or tuple
        Of the shape and dtype that `main` says; several results as a tuple, nested as there.

    Raises
    ------
    TypeError
        An input is missing, unknown, given twice, or of another dtype.
    ValueError
        An input has another shape, or there is no `main`.
    NotImplementedError
        The module has control flow, dynamic shapes, or an operator that the reference lacks.

    Examples
    --------
    >>> import numpy as np
    >>> from tvm import relax
    >>> from tvm_book.testing import integer_reference
    >>> x = relax.Var("x", relax.TensorType((2,), "int8"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     _ = builder.emit_func_output(builder.emit(relax.op.add(x, relax.const(100, "int8"))))
    >>> integer_reference(builder.get(), x=np.array([27, 28], "int8"))
    array([ 127, -128], dtype=int8)
    """
    tensors = bind_arguments(signature(mod)[0], args, inputs)
    with np.errstate(all="ignore"):  # integers wrap, floats overflow: that is what they do here
        result = _call(mod, mod["main"], [tensor.numpy() for tensor in tensors])
    return _copied(result)


def _call(mod: tvm.IRModule, function: Any, args: Sequence[Any]) -> Any:
    if not isinstance(function, relax.Function):
        raise NotImplementedError(
            f"the module calls a {type(function).__name__}, and the reference knows Relax only: "
            "pass the module as the quantizer returned it, before it is lowered"
        )
    values = dict(zip(function.params, args, strict=True))
    for block in getattr(function.body, "blocks", ()):
        for binding in block.bindings:
            value = getattr(binding, "value", None)
            if not isinstance(binding, relax.VarBinding) or isinstance(
                value, (relax.If, relax.Function)
            ):
                raise NotImplementedError(
                    f"{binding.var} has control flow or run-time shape matching; the reference "
                    "computes straight-line functions only"
                )
            result = _value(mod, value, values)
            _check(binding.var, result)
            values[binding.var] = result
    return _value(mod, getattr(function.body, "body", function.body), values)


def _value(mod: tvm.IRModule, expr: Any, values: dict[Any, Any]) -> Any:
    if isinstance(expr, relax.Var):
        return values[expr]
    if isinstance(expr, GenericConst):
        return np.asarray(expr.value.numpy() if hasattr(expr.value, "numpy") else expr.value)
    if isinstance(expr, relax.Tuple):
        return tuple(_value(mod, field, values) for field in expr.fields)
    if isinstance(expr, relax.TupleGetItem):
        return _value(mod, expr.tuple_value, values)[expr.index]
    if isinstance(expr, relax.ShapeExpr):
        return tuple(int(extent) for extent in expr.values)
    if isinstance(expr, relax.Call):
        args = [_value(mod, arg, values) for arg in expr.args]
        if isinstance(expr.op, tvm.ir.GlobalVar):
            return _call(mod, mod[expr.op], args)
        return _operator(expr.op)(expr, *args)
    return getattr(expr, "value", expr)  # a number


def _operator(op: Any) -> Any:
    name = op.name if isinstance(op, Op) else str(op)
    if name not in OPERATORS:
        known = ", ".join(sorted(row.removeprefix("relax.") for row in OPERATORS))
        raise NotImplementedError(f"the reference has no operator {name}; it knows {known}")
    return OPERATORS[name]


def _check(var: relax.Var, value: Any) -> None:
    """Make sure that a row computed what Relax promises: NumPy may widen a type on its own."""
    if isinstance(value, np.ndarray):
        promised = tuple(int(extent) for extent in var.ty.shape), str(var.ty.dtype)
        if (value.shape, value.dtype.name) != promised:
            raise RuntimeError(
                f"the reference computed {value.dtype} {value.shape} for {var}, which is "
                f"{promised[1]} {promised[0]}: please report this as a bug"
            )


def _copied(result: Any) -> Any:
    """Return arrays of the caller's own: a result may be an input, or a view of one."""
    return tuple(map(_copied, result)) if isinstance(result, tuple) else np.array(result)
