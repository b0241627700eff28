"""From Relax operators to calls of kernels."""

from ._lower import lower
from ._plan import KernelCall, Lowered
from ._simplify import simplify

__all__ = ["KernelCall", "Lowered", "lower", "simplify"]
