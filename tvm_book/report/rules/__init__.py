"""What can be wrong with a quantized layer: one function a rule, in one table.

A rule looks at a layer's record and yields what it sees and what to do. How much it matters is
told by the error that the layer itself makes, unless the rule says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...quantize._layer_error import LayerError, LayerErrors
from ._channels import dead_channel, dominating_channel, lost_channel
from ._finite import not_finite
from ._ranges import clipped, constant_input, few_steps, never_calibrated
from ._results import inherited, made_here, near_overflow
from ._words import Hint

__all__ = ["RULES", "Hint"]

# Key of the findings, and who makes them; findings of one weight and layer keep this order.
RULES: tuple[tuple[str, Callable[[LayerError, LayerErrors], Iterator[Hint]]], ...] = (
    ("not_finite", not_finite),
    ("constant_input", constant_input),
    ("near_overflow", near_overflow),
    ("clipped", clipped),
    ("dominating_channel", dominating_channel),
    ("few_steps", few_steps),
    ("lost_channel", lost_channel),
    ("never_calibrated", never_calibrated),
    ("dead_channel", dead_channel),
    ("made_here", made_here),
    ("inherited", inherited),
)
