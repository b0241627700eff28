"""Measure whether a quantized model still computes what the float model computed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tvm_book.testing import metric
from tvm_book.testing.metric import (
    cosine_similarity,
    l2_loss,
    max_abs_error,
    mean_abs_error,
    relative_l2,
    sqnr_db,
    top_k_agreement,
)

if TYPE_CHECKING:
    from tvm_book.testing._reference import integer_reference

__all__ = [
    "cosine_similarity",
    "integer_reference",
    "l2_loss",
    "layerwise",
    "max_abs_error",
    "mean_abs_error",
    "metric",
    "relative_l2",
    "sqnr_db",
    "top_k_agreement",
]

# Metrics need no TVM; and a report is of rooms that themselves use metrics.
_LAZY = {
    "integer_reference": "tvm_book.testing._reference",
    "layerwise": "tvm_book.report",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
