"""From Relax operators to calls of kernels."""

from ._lower import KernelCall, Lowered, lower

__all__ = ["KernelCall", "Lowered", "lower"]
