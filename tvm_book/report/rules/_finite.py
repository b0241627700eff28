"""The rule about values that are no numbers: beside them, no other rule means anything."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ...quantize._layer_error import LayerError, LayerErrors
from ._words import Hint, is_finite, what

__all__ = ["not_finite"]

LOOK = "look at the data and at the float model: what overflows in float32 cannot be quantized"


def not_finite(layer: LayerError, errors: LayerErrors) -> Iterator[Hint]:
    """Find infinities and NaN in what a layer reads, or else in its result."""
    bad = [operand for operand in layer.operands if not is_finite(operand)]
    for operand in bad:
        yield Hint(
            f"{what(operand)} is not finite in float: its values end at {operand.minimum:.4g} and "
            f"{operand.maximum:.4g}",
            LOOK,
            "high",
        )
    unknown = math.isnan(layer.isolated_sqnr_db) or math.isnan(layer.accumulated_sqnr_db)
    if unknown and not bad:
        yield Hint("its result has infinities or NaN, so its error is unknown", LOOK, "high")
