"""What each operator does in each pass: one file an operator family, one row an operator."""

from ._table import rules_table
from .affine.annotating import narrow, when_demanded
from .affine.functions import pointwise
from .affine.shape import move
from .rule import (
    Rule,
    Scheme,
    close_all,
    dequantize_all,
    keep_group,
    keep_kind,
    leave_float,
    on_data,
)

__all__ = [
    "Rule",
    "Scheme",
    "close_all",
    "dequantize_all",
    "keep_group",
    "keep_kind",
    "leave_float",
    "move",
    "narrow",
    "on_data",
    "pointwise",
    "rules_table",
    "when_demanded",
]
