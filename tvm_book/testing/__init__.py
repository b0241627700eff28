"""Measure whether a quantized model still computes what the float model computed."""

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

__all__ = [
    "cosine_similarity",
    "l2_loss",
    "max_abs_error",
    "mean_abs_error",
    "metric",
    "relative_l2",
    "sqnr_db",
    "top_k_agreement",
]
