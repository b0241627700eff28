"""What passes between those who choose kernels, those who emit their calls, and reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tvm
from tvm import relax

from ..kernels._kernel import Array, Kernel
from ..kernels._view import View

__all__ = ["KernelCall", "Lowered", "Plan", "Value"]


@dataclass(frozen=True)
class Value:
    """A tensor between kernels: the array that holds it, and how."""

    expr: relax.Expr
    view: View


@dataclass(frozen=True)
class KernelCall:
    """One call of a kernel, for reports.

    Attributes
    ----------
    function : str
        Name of the kernel; equal kernels share one.
    layer : str
        Module path of the source model, ``""`` if unknown.
    operators : tuple of str
        What it computes, in Relax's names: first the anchor, or without one the last operator.
    shape : tuple of int
        Of the result.
    dtype : str
        What it multiplies: ``"int8"``, ``"float32"``; of its result if it multiplies nothing.
    operations : int
        Multiplications and additions of the anchor, each counted as one.
    """

    function: str
    layer: str
    operators: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    operations: int


@dataclass
class Lowered:
    """What `lower` returns: Relax that calls kernels, the kernels, and a list of the calls."""

    module: tvm.IRModule
    kernels: dict[str, tvm.tirx.PrimFunc]
    calls: list[KernelCall]


@dataclass
class Plan:
    """How an anchor is computed.

    Attributes
    ----------
    inputs : list of (relax.Expr, View)
        Arrays that the loops read.
    body : callable
        ``(kernel, arrays, finish)`` emits the loops.
    name : str
        First part of the kernel's name.
    dtype : str
        What is multiplied.
    operations : int
    swallowed : relax.Var, optional
        The last member of the group whose value the loops deliver, if that is not the anchor: a
        bias that sums begin with.
    axis : int, optional
        The result's axis along which the loops deliver vectors.
    """

    inputs: list[tuple[relax.Expr, View]]
    body: Callable[[Kernel, list[Array], Callable], None]
    name: str
    dtype: str = ""
    operations: int = 0
    swallowed: relax.Var | None = None
    axis: int | None = None
