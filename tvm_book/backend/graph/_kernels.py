"""The kernels of a module: equal ones once."""

from __future__ import annotations

import tvm_ffi
from tvm import tirx

__all__ = ["Kernels"]


class Kernels:
    """TIR functions by symbol.

    Attributes
    ----------
    functions : dict of str to tvm.tirx.PrimFunc
        Each bears its symbol as ``global_symbol``.
    """

    def __init__(self) -> None:
        self.functions: dict[str, tirx.PrimFunc] = {}
        self._symbols: dict[int, list[tuple[tirx.PrimFunc, str]]] = {}

    def add(self, name: str, function: tirx.PrimFunc) -> str:
        """Return the symbol of a function; an equal one that is here already serves again."""
        known = self._symbols.setdefault(tvm_ffi.structural_hash(function), [])
        for other, symbol in known:
            if tvm_ffi.structural_equal(other, function):
                return symbol
        symbol = f"{name}_{len(self.functions)}"
        self.functions[symbol] = function.with_attr("global_symbol", symbol)
        known.append((function, symbol))
        return symbol
