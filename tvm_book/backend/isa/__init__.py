"""Instruction sets, one file each, best first."""

from ._isa import Dot, Isa
from ._select import LEVELS, available, select

__all__ = ["LEVELS", "Dot", "Isa", "available", "select"]
