"""The scheme of Relay's quantizer: per tensor, symmetric, scales that are mostly powers of two."""

from ...prepare import prerequisite_passes
from ..rule import Scheme
from . import elementwise, layers, markers, pooling, shape

__all__ = ["RELAY"]

RELAY = Scheme(
    name="relay",
    rules=markers.RULES + layers.RULES + elementwise.RULES + pooling.RULES + shape.RULES,
    prepare=prerequisite_passes,
)
