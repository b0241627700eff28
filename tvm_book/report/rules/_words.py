"""What the rules' sentences are made of."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ...quantize._layer_error import LayerError, Operand

__all__ = [
    "CALIBRATE",
    "Hint",
    "are",
    "channels_text",
    "ends",
    "finite_operands",
    "is_constant",
    "is_finite",
    "largest",
    "power2",
    "what",
]

CALIBRATE = 'calibrate on data: calibrate_mode="mse", or preset="accurate"'
LISTED = 5  # numbers of channels in a sentence


class Hint(NamedTuple):
    """What a rule yields: a sentence, an advice, and the severity if it is not the layer's."""

    sentence: str
    advice: str
    severity: str = ""


def is_finite(operand: Operand) -> bool:
    return math.isfinite(operand.minimum) and math.isfinite(operand.maximum)


def finite_operands(layer: LayerError) -> list[Operand]:
    """Return the operands of which more can be said than that they are not finite."""
    return [operand for operand in layer.operands if is_finite(operand)]


def is_constant(operand: Operand) -> bool:
    return operand.minimum == operand.maximum


def what(operand: Operand) -> str:
    if operand.kind == "weight":
        return "its weight"
    return "a constant" if operand.source == "const" else f"its input from {operand.source}"


def ends(operand: Operand) -> str:
    scale = float(np.max(operand.scale))
    return f"{scale * operand.low:.4g} and {scale * operand.high:.4g}"


def channels_text(numbers: np.ndarray, operand: Operand) -> str:
    names = ", ".join(map(str, numbers[:LISTED])) + ", ..." * (len(numbers) > LISTED)
    return f"{len(numbers)} of {len(operand.channels)} channels of {what(operand)} ({names})"


def are(numbers: np.ndarray) -> str:
    return "is" if len(numbers) == 1 else "are"


def largest(operand: Operand) -> float:
    """Return the largest magnitude that was seen."""
    return max(abs(operand.minimum), abs(operand.maximum))


def power2(value: float) -> float:
    """Return the power of two that holds a magnitude."""
    return 2.0 ** math.ceil(math.log2(value)) if 0 < value < math.inf else 1.0
