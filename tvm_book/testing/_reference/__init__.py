"""The exact integer reference: quantized Relax modules in NumPy, without any other room's code.

One file a family of operators, one row an operator; `_run` walks the bindings.
"""

from ._operators import APPROXIMATE, OPERATORS
from ._run import integer_reference

__all__ = ["APPROXIMATE", "OPERATORS", "integer_reference"]
