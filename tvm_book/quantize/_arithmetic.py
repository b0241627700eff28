"""Emit the few operators that realized graphs consist of; fold them where all is constant."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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

    def round_half_even(self, a: relax.Expr) -> relax.Expr:
        """Round ties to even."""
        return self._unary(relax.op.round, np.rint, a)

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

    def quantize(
        self, a: relax.Expr, scale: np.ndarray, zero_point: int, low: int, high: int, dtype: str
    ) -> relax.Expr:
        """Return ``clip(round(a / scale) + zero_point, low, high)``, ties to even.

        ``scale`` is one number, unless ``a`` is a constant.
        """
        if isinstance(a, GenericConst):
            steps = np.rint(to_numpy(a).astype(np.float64) / scale) + zero_point
            return _constant(np.clip(steps, low, high).astype(dtype))
        zero_point = relax.const(int(zero_point), "int32")
        scale = relax.const(np.asarray(scale, np.float32).reshape(()), "float32")
        data = self.builder.emit(relax.op.quantize(a, scale, zero_point, out_dtype=dtype))
        ends = np.iinfo(dtype)
        return data if (low, high) == (ends.min, ends.max) else self.clip(data, low, high)

    def dequantize(self, a: relax.Expr, scale: np.ndarray, zero_point: np.ndarray) -> relax.Expr:
        """Return ``scale * (a - zero_point)`` in float32; both broadcast to the shape of ``a``."""
        if isinstance(a, GenericConst):
            return _constant(((to_numpy(a) - zero_point) * scale).astype(np.float32))
        shapes = np.broadcast_shapes(scale.shape, zero_point.shape, (1,) * len(a.ty.shape))
        long = [i for i, extent in enumerate(shapes) if extent != 1]
        if len(long) <= 1:
            axis = long[0] if long else -1
            scale, zero_point = (_along(x, shapes, axis) for x in (scale, zero_point))
            return self.builder.emit(
                relax.op.dequantize(
                    a,
                    relax.const(scale.astype(np.float32), "float32"),
                    relax.const(zero_point.astype(np.int32), "int32"),
                    axis=axis,
                )
            )
        data = self.cast(a, "float32")
        if np.any(zero_point):
            data = self.add(data, -zero_point)
        return self.multiply(data, scale)

    def take(self, table: np.ndarray, index: relax.Expr) -> relax.Expr:
        """Return ``table[index]``; indices beyond its ends, which do not occur, are clipped."""
        return self.builder.emit(relax.op.take(_constant(table), index, axis=0, mode="clip"))

    def concat(self, parts: Sequence[relax.Expr], axis: int) -> relax.Expr:
        """Join along an axis."""
        return self.builder.emit(relax.op.concat(list(parts), axis))

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


def _along(x: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Return a number as it is, and others as the 1-d array along the only long axis."""
    return x.reshape(()) if x.size == 1 else np.broadcast_to(x, shape).reshape(shape[axis])


def _numpy_cast(x: np.ndarray, dtype: str) -> np.ndarray:
    if x.dtype.kind == "f" and np.dtype(dtype).kind == "i":
        x = x.astype(np.int64)  # wraps afterwards, like the integers do
    return x.astype(dtype)


def _constant(value: np.ndarray) -> GenericConst:
    value = np.asarray(value)
    return relax.const(value, str(value.dtype))
