"""Rules about a layer's result: its sums, and where its error comes from."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ...quantize._layer_error import LayerError, LayerErrors
from .._grades import GOOD, sqnr_text
from ._words import Hint

__all__ = ["inherited", "made_here", "near_overflow"]

# Data twice as large as these would wrap around.
NEAR_OVERFLOW = 0.5
# Half of the noise's power comes from here.
SAME_DB = 3.0


def near_overflow(layer: LayerError, errors: LayerErrors) -> Iterator[Hint]:
    """Find sums that come close to the end of int32."""
    if layer.accumulator >= NEAR_OVERFLOW:
        wraps = layer.accumulator >= 1
        yield Hint(
            f"its sums reach {layer.accumulator:.0%} of int32"
            + ("'s range and wrap around" if wraps else ""),
            "nbit_input=7 or nbit_weight=7 halves them; "
            f"qconfig(skip=[{layer.selector!r}]) keeps the layer in float",
            "high" if wraps else "medium",
        )


def made_here(layer: LayerError, errors: LayerErrors) -> Iterator[Hint]:
    """Find a result whose error is this layer's own."""
    if _poor(layer) and layer.isolated_sqnr_db <= layer.accumulated_sqnr_db + SAME_DB:
        yield Hint(
            f"its error is made here: {sqnr_text(layer.isolated_sqnr_db)} dB alone, "
            f"{sqnr_text(layer.accumulated_sqnr_db)} dB with all before it",
            f"qconfig(skip=[{layer.selector!r}]) keeps it in float, if nothing else is found here",
        )


def inherited(layer: LayerError, errors: LayerErrors) -> Iterator[Hint]:
    """Find a result whose error comes from layers before."""
    if _poor(layer) and layer.isolated_sqnr_db > layer.accumulated_sqnr_db + SAME_DB:
        source = _worst_before(layer, errors)
        look = f"look at {source.name} first" if source else "look at what is between layers"
        alone = f" ({sqnr_text(source.isolated_sqnr_db)} dB alone)" if source else ""
        yield Hint(
            f"its error comes from before: {sqnr_text(layer.isolated_sqnr_db)} dB alone, "
            f"{sqnr_text(layer.accumulated_sqnr_db)} dB with all before it",
            f"{look}{alone}",
            "low",
        )


def _worst_before(layer: LayerError, errors: LayerErrors) -> LayerError | None:
    """Return the layer on which this one depends that makes the largest error itself."""
    seen: set[int] = set()
    waiting = list(layer.reads)
    while waiting:
        position = waiting.pop()
        if position >= 0 and position not in seen:
            seen.add(position)
            waiting += errors.layers[position].reads
    before = [errors.layers[position] for position in sorted(seen)]
    known = [x for x in before if not math.isnan(x.isolated_sqnr_db)]
    return min(known, key=lambda x: x.isolated_sqnr_db, default=None)


def _poor(layer: LayerError) -> bool:
    return layer.accumulated_sqnr_db < GOOD
