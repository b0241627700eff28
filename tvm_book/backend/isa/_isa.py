"""What a kernel has to know of an instruction set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tvm.target import Target

__all__ = ["Dot", "Isa", "Tiles"]

Expr = Any  # a TIR expression
Buffer = Any  # a TIR buffer


class Tiles(Protocol):
    """Registers that hold a matrix each; they are numbered by Python integers.

    Registers 0 to 3 are sums, (rows, 16) of int32; 4 and 5 are activations, (rows, 64) of uint8;
    6 and 7 are weights, (16, 64) of int8: row `r` holds the elements ``4 * r`` to ``4 * r + 3`` of
    the reduction for each of 16 columns.
    """

    def zero(self, tile: int) -> None:
        """Emit: set all elements to zero."""

    def load(self, tile: int, buffer: Buffer, position: Expr, stride: int) -> None:
        """Emit: read rows of 64 bytes; `stride` elements lie from one row to the next."""

    def multiply(self, sums: int, a: int, b: int) -> None:
        """Emit: ``sums += a @ b``."""

    def store(self, tile: int, buffer: Buffer, position: Expr, stride: int) -> None:
        """Emit: write the rows."""

    def release(self) -> None:
        """Emit: give the registers back."""


@dataclass(frozen=True)
class Dot:
    """The inner step of a matrix product, ``acc[i] += sum_g a[g] * b[i, g]`` on one vector.

    Attributes
    ----------
    a, b, acc : str
        Dtypes of the arrays' elements and of the sum: ``"uint8"``, ``"int8"`` or ``"int16"``,
        ``"int32"``; or ``"float32"`` three times.
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
    multiple : int
        To how many elements a contiguous run of the reduction is padded, a multiple of `group`.
    split : int
        How many vectors the ``lanes * group`` elements of `b` are; vector `v` holds the elements
        ``v``, ``v + split``, ... of the group of each lane.
    """

    a: str
    b: str
    acc: str
    group: int
    lanes: int
    load_a: Callable[[Buffer, Expr], Expr]
    load_b: Callable[[Buffer, Expr], Expr]
    step: Callable[[Expr, Expr, Expr], Expr]
    multiple: int = 0
    split: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "multiple", self.multiple or self.group)


def _allowed() -> str | None:
    return None


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
    tiles : callable, optional
        Given how many rows a tile has, emits what makes tile registers usable and returns
        `Tiles`; products of bytes are then made of tiles.
    refusal : callable, optional
        Returns why the operating system does not let this process use the instructions, None if
        it does.
    """

    name: str
    needs: tuple[str, ...]
    lanes: int
    registers: int
    int8: Dot
    float32: Dot
    options: Mapping[str, Any] = field(default_factory=dict)
    tiles: Callable[[int], Tiles] | None = None
    refusal: Callable[[], str | None] = _allowed

    def target(self, base: Target) -> Target:
        """Return the target that kernels are compiled for, `base` being that of other code."""
        return Target({"kind": "llvm", **self.options}) if self.options else base
