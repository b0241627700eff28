"""Emit the few operators that realized graphs consist of; fold them where all is constant."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tvm import relax, tirx
from tvm.ir import GenericConst

from . import ops
from ._emitter import Emitter
from ._graph import to_numpy
from .numerics import round_half_away

__all__ = ["Arithmetic"]

Operand = relax.Expr | float | np.generic


class Arithmetic:
    """Operators on expressions and numbers.

    Numbers take the dtype of the expression beside them. Where every operand is a constant the
    result is computed now, in NumPy, with the dtype and wrap-around that the operator would have.

    Parameters
    ----------
    builder : Emitter

    Examples
    --------
    >>> from tvm import relax
    >>> arith = Arithmetic(Emitter())
    >>> arith.left_shift(relax.const([3], "int8"), 6).value.numpy()
    array([-64], dtype=int8)
    """

    def __init__(self, builder: Emitter):
        self.builder = builder

    def add(self, a: relax.Expr, b: Operand) -> relax.Expr:
        """Return ``a + b``."""
        return self._binary(relax.op.add, np.add, a, b)

    def multiply(self, a: relax.Expr, b: Operand) -> relax.Expr:
        """Return ``a * b``."""
        return self._binary(relax.op.multiply, np.multiply, a, b)

    def left_shift(self, a: relax.Expr, bits: int) -> relax.Expr:
        """Return ``a << bits``, wrapping around."""
        return self._binary(relax.op.left_shift, np.left_shift, a, bits)

    def right_shift(self, a: relax.Expr, bits: int) -> relax.Expr:
        """Return ``a >> bits``, rounded towards minus infinity."""
        return self._binary(relax.op.right_shift, np.right_shift, a, bits)

    def round(self, a: relax.Expr) -> relax.Expr:
        """Round ties away from zero."""
        return self._unary(ops.round_half_away, round_half_away, a)

    def clip(self, a: relax.Expr, low: float, high: float) -> relax.Expr:
        """Limit to ``[low, high]``; bounds are whole numbers in reach of an integer ``a``."""
        dtype = str(a.ty.dtype)
        low, high = (float(x) if dtype == "float32" else int(x) for x in (low, high))
        return self._unary(
            lambda x: relax.op.clip(x, tirx.const(low, dtype), tirx.const(high, dtype)),
            lambda x: np.clip(x, low, high),
            a,
        )

    def cast(self, a: relax.Expr, dtype: str) -> relax.Expr:
        """Convert; integers wrap around, floats are truncated."""
        if str(a.ty.dtype) == dtype:
            return a
        return self._unary(lambda x: relax.op.astype(x, dtype), lambda x: _numpy_cast(x, dtype), a)

    def _unary(self, emit: Callable, fold: Callable, a: relax.Expr) -> relax.Expr:
        if isinstance(a, GenericConst):
            return _constant(fold(to_numpy(a)))
        return self.builder.emit(emit(a))

    def _binary(self, emit: Callable, fold: Callable, a: relax.Expr, b: Operand) -> relax.Expr:
        if not isinstance(b, relax.Expr):
            b = relax.const(np.asarray(b, str(a.ty.dtype)), str(a.ty.dtype))
        if isinstance(a, GenericConst) and isinstance(b, GenericConst):
            with np.errstate(over="ignore"):
                return _constant(fold(to_numpy(a), to_numpy(b)))
        return self.builder.emit(emit(a, b))


def _numpy_cast(x: np.ndarray, dtype: str) -> np.ndarray:
    if x.dtype.kind == "f" and np.dtype(dtype).kind == "i":
        x = x.astype(np.int64)  # wraps afterwards, like the integers do
    return x.astype(dtype)


def _constant(value: np.ndarray) -> GenericConst:
    value = np.asarray(value)
    return relax.const(value, str(value.dtype))
