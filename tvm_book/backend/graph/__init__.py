"""From Relax operators to calls of kernels."""

from ._lower import KernelCall, Lowered, lower
from ._simplify import simplify

__all__ = ["KernelCall", "Lowered", "lower", "simplify"]
