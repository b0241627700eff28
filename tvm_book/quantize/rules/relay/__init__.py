"""The scheme of Relay's quantizer: per tensor, symmetric, scales that are mostly powers of two."""

from ...annotate import INPUT
from ...prepare import prerequisite_passes
from ..rule import Scheme
from . import elementwise, layers, markers, pooling, shape

__all__ = ["RELAY"]


def _round_once(a, value):
    """Round a quantized value that several operators read once, for all of them."""
    if value.kind is None:
        return value
    return value._replace(expr=a.simulate(value.expr, INPUT), kind=INPUT)


RELAY = Scheme(
    name="relay",
    rules=markers.RULES + layers.RULES + elementwise.RULES + pooling.RULES + shape.RULES,
    prepare=prerequisite_passes,
    share=_round_once,
)
