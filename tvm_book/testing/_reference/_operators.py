"""The table of Relax operators that the reference knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ._elements import ELEMENTS
from ._floats import FLOATS
from ._layers import LAYERS
from ._moves import MOVES
from ._pools import POOLS

__all__ = ["APPROXIMATE", "OPERATORS"]

# A row is called with the `tvm.relax.Call` and the values of its arguments: arrays, tuples of them,
# and Python numbers and tuples for shapes and numbers. It returns an array or a tuple of arrays.
OPERATORS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {**ELEMENTS, **LAYERS, **POOLS, **MOVES, **FLOATS}
)

APPROXIMATE = frozenset(FLOATS)
"""Operators whose float results another program may round in another way."""
