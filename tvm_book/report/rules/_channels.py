"""Rules about single channels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..._text import plural
from ...quantize._layer_error import LayerError, LayerErrors, Operand
from ._words import Hint, are, channels_text, finite_operands, what

__all__ = ["dead_channel", "dominating_channel", "lost_channel"]

# Three of eight bits: what the largest channel costs the one in the middle.
DOMINATES = 8.0
CHANNELS = 4  # of fewer, none is in the middle


def dominating_channel(layer: LayerError, errors: LayerErrors) -> Iterator[Hint]:
    """Find a channel so large that it leaves the others few steps of the common grid."""
    for operand in finite_operands(layer):
        alive = operand.channels[operand.channels > 0]
        if np.size(operand.scale) > 1 or len(alive) < CHANNELS:
            continue
        largest, middle = float(alive.max()), float(np.median(alive))
        if largest >= DOMINATES * middle:
            number = int(np.argmax(operand.channels))
            steps = round(middle / float(np.max(operand.scale)))
            yield Hint(
                f"channel {number} of {what(operand)} stretches the grid of all "
                f"{len(operand.channels)}: it reaches {largest:.4g}, the channel in the middle "
                f"{middle:.4g}, {plural(steps, 'step') if steps else 'no step'} of that grid",
                _even_out(layer, operand),
            )


def _even_out(layer: LayerError, operand: Operand) -> str:
    common = np.size(operand.scale) == 1
    if operand.kind == "weight" and layer.operations and common:
        return 'weight_granularity="channel" gives each its own scale; preset="accurate" has it'
    if operand.kind == "weight":  # has them already, or is added or multiplied with
        return f"qconfig(skip=[{layer.selector!r}]) keeps {layer.name} in float"
    return (
        'equalize=True with preset="accurate" evens channels out, '
        f'calibrate_layers={{{layer.selector!r}: "kl_divergence"}} clips the largest, '
        f"and qconfig(skip=[{layer.selector!r}]) keeps the layer in float"
    )


def lost_channel(layer: LayerError, errors: LayerErrors) -> Iterator[Hint]:
    """Find channels so small that all their values round to zero."""
    for operand in finite_operands(layer):
        scale = np.reshape(operand.scale, -1)
        if scale.size not in (1, operand.channels.size):
            continue
        half = np.broadcast_to(scale / 2, operand.channels.shape)
        lost = np.flatnonzero((operand.channels > 0) & (operand.channels < half))
        if 0 < len(lost) < len(operand.channels):
            yield Hint(
                f"{channels_text(lost, operand)} {are(lost)} rounded to 0: no value reaches half a "
                f"step, {float(half[lost].max()):.3g}",
                _even_out(layer, operand),
            )


def dead_channel(layer: LayerError, errors: LayerErrors) -> Iterator[Hint]:
    """Find channels that hold nothing but zeros."""
    for operand in finite_operands(layer):
        dead = np.flatnonzero(operand.channels == 0)
        if 0 < len(dead) < len(operand.channels):
            advice = "train or prune the model: no option changes a channel that is 0"
            if operand.kind != "weight":
                advice = f"see whether more calibration data wake them; otherwise {advice}"
            yield Hint(f"{channels_text(dead, operand)} {are(dead)} 0 throughout", advice, "low")
