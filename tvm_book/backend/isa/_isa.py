"""What a kernel has to know of an instruction set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tvm.target import Target

__all__ = ["Dot", "Isa"]

Expr = Any  # a TIR expression
Buffer = Any  # a TIR buffer


@dataclass(frozen=True)
class Dot:
    """The inner step of a matrix product, ``acc[i] += sum_g a[g] * b[i, g]`` on one vector.

    Attributes
    ----------
    a, b, acc : str
        Dtypes of the arrays' elements and of the sum: ``"uint8"``, ``"int8"``, ``"int32"``, or
        ``"float32"`` three times.
    group : int
        How many consecutive elements of the reduction one step takes.
    lanes : int
        How many sums one step adds to.
    load_a : callable
        ``(buffer, position)`` of `group` elements: the operand, broadcast to all lanes.
    load_b : callable
        ``(buffer, position)`` of ``lanes * group`` elements.
    step : callable
        ``(acc, a, b)``: the new sums.
    """

    a: str
    b: str
    acc: str
    group: int
    lanes: int
    load_a: Callable[[Buffer, Expr], Expr]
    load_b: Callable[[Buffer, Expr], Expr]
    step: Callable[[Expr, Expr, Expr], Expr]


@dataclass(frozen=True)
class Isa:
    """An instruction set: what it needs, how wide it is, how it multiplies.

    Attributes
    ----------
    name : str
        As `tvm_book.compile` takes it: ``"avx512-vnni"``.
    needs : tuple of str
        LLVM's names of the features that a CPU must have.
    lanes : int
        Elements of 32 bits in a vector register.
    registers : int
        Vector registers.
    int8, float32 : Dot
        Products of quantized and of float operands.
    options : mapping
        What to add to the target for LLVM to use these instructions and no later ones.
    """

    name: str
    needs: tuple[str, ...]
    lanes: int
    registers: int
    int8: Dot
    float32: Dot
    options: Mapping[str, Any] = field(default_factory=dict)

    def target(self, base: Target) -> Target:
        """Return the target that kernels are compiled for, `base` being that of other code."""
        return Target({"kind": "llvm", **self.options}) if self.options else base
