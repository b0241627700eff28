"""The table of Relax operators that `Evaluator` computes with torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ._evaluate_data import DATA
from ._evaluate_layers import LAYERS
from ._evaluate_math import MATH

__all__ = ["OPERATORS"]

# A row is called with the `tvm.relax.Call` and the values of its arguments: torch tensors, tuples
# of them, and Python numbers and tuples for shapes and numbers. It answers NotImplemented where
# torch would compute something else than TVM.
OPERATORS: Mapping[str, Callable[..., Any]] = MappingProxyType({**MATH, **LAYERS, **DATA})
