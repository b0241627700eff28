"""What realize passes from rule to rule in the affine scheme.

A real number is stood for by integers in one of three ways: a weighted sum of integer tensors
(`Affine`), a look-up in a narrow tensor (`Function`), or tensors still to be joined (`Concat`).
Each knows how to return to float, and how to be rounded to a grid, once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from tvm import relax

from ..._arithmetic import Arithmetic

__all__ = ["Affine", "Concat", "Function", "StorageGrid", "Term"]

TABLE_DTYPE = "int16"


def _zero() -> np.ndarray:
    return np.zeros(())


class StorageGrid(NamedTuple):
    """A grid as it is stored: ``scale * (q - zero_point)``, ``low <= q <= high``, in ``dtype``.

    ``scale`` is a float64 array: 0-d, or of a shape that broadcasts to the tensor's.
    """

    scale: np.ndarray
    zero_point: int
    low: int
    high: int
    dtype: str = "int8"

    @classmethod
    def of(cls, kind: str, scale: np.ndarray, low: float, high: float) -> StorageGrid:
        """Shift the steps ``low..high`` of a grid into the type that stores them.

        A grid that int8 holds as it is has the zero point 0; a table's counts from 0.

        Examples
        --------
        >>> StorageGrid.of("input", np.float32(0.5), 0, 255)[1:]
        (-128, -128, 127, 'int8')
        >>> StorageGrid.of("input", np.float32(0.5), -127, 127)[1:]
        (0, -127, 127, 'int8')
        """
        low, high, scale = int(low), int(high), np.asarray(scale, np.float64)
        if kind == "table":
            return cls(scale, -low, 0, high - low, TABLE_DTYPE)
        zero_point = 0 if -128 <= low and high <= 127 else -128 - low
        return cls(scale, zero_point, low + zero_point, high + zero_point)


@dataclass(frozen=True)
class Term:
    """``scale * (expr - zero_point)``; both numbers broadcast to the shape of ``expr``."""

    expr: relax.Expr
    scale: np.ndarray
    zero_point: np.ndarray = field(default_factory=_zero)

    @property
    def dtype(self) -> str:
        """Storage type of the integers."""
        return str(self.expr.ty.dtype)


@dataclass(frozen=True)
class Affine:
    """A sum of terms and a constant, limited to ``low..high``.

    Attributes
    ----------
    terms : tuple of Term
    offset : numpy.ndarray of float64
    low, high : float
        In the unit of the value. They are applied where the value is rounded or leaves integers.
    """

    terms: tuple[Term, ...]
    offset: np.ndarray = field(default_factory=_zero)
    low: float = -math.inf
    high: float = math.inf

    @property
    def is_clamped(self) -> bool:
        """Whether limits wait to be applied."""
        return (self.low, self.high) != (-math.inf, math.inf)

    @property
    def is_narrow(self) -> bool:
        """Whether the value is nothing but a narrow tensor with one scale."""
        term = self.terms[0]
        plain = len(self.terms) == 1 and not self.is_clamped and not np.any(self.offset)
        return plain and term.scale.size == 1 and term.dtype in ("int8", TABLE_DTYPE)

    @property
    def narrow(self) -> Term:
        """The only term of a narrow value.

        Raises
        ------
        ValueError
            If the value is something else: the rule that reads it has to round it first.
        """
        if not self.is_narrow:
            raise ValueError(
                "a rule of scheme 'affine' reads the integers of a value that was not rounded to "
                "int8; let its annotate function call rules.narrow on that operand"
            )
        return self.terms[0]

    def map(self, move: Callable[[relax.Expr], relax.Expr]) -> Affine:
        """Return the value whose elements ``move`` rearranged."""
        term = self.narrow
        return replace(self, terms=(replace(term, expr=move(term.expr)),))

    def clamp(self, low: float, high: float) -> Affine:
        """Return the value limited to ``low..high``."""
        return replace(
            self,
            low=min(max(self.low, low), high),
            high=max(min(self.high, high), low),
        )

    def to_float(self, arith: Arithmetic) -> relax.Expr:
        """Emit the float32 value."""
        total = None
        for term in self.terms:
            part = arith.dequantize(term.expr, term.scale, term.zero_point)
            total = part if total is None else arith.add(total, part)
        if np.any(self.offset):
            total = arith.add(total, self.offset)
        return arith.clip(total, self.low, self.high) if self.is_clamped else total


@dataclass(frozen=True)
class Function:
    """``values[index(expr)]``: a function of a narrow tensor, one value for each of its steps.

    Attributes
    ----------
    base : Term
        int8 counts from -128, a table from 0.
    values : numpy.ndarray of float32, shape (steps,)
    """

    base: Term
    values: np.ndarray
    is_narrow = False

    @classmethod
    def identity(cls, base: Term, steps: int) -> Function:
        """Return ``base`` as a function of itself."""
        first = -128 if base.dtype == "int8" else 0
        stored = np.arange(first, first + steps)
        return cls(base, ((stored - base.zero_point) * base.scale).astype(np.float32))

    def look_up(self, arith: Arithmetic, table: np.ndarray) -> relax.Expr:
        """Emit the look-up in a table that has the dtype of the result."""
        index = arith.cast(self.base.expr, "int32")
        if self.base.dtype == "int8":
            index = arith.add(index, 128)
        return arith.take(table, index)

    def to_float(self, arith: Arithmetic) -> relax.Expr:
        """Emit the float32 value."""
        return self.look_up(arith, self.values)


@dataclass(frozen=True)
class Concat:
    """Values to be joined along an axis, once they are on one grid."""

    fields: tuple[Affine | Function | relax.Expr, ...]
    axis: int
    is_narrow = False

    def to_float(self, arith: Arithmetic) -> relax.Expr:
        """Emit the float32 value."""
        parts = [x.to_float(arith) if hasattr(x, "to_float") else x for x in self.fields]
        return arith.concat(parts, self.axis)
