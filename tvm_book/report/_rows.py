"""A layer's record as a flat row of plain values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..quantize._layer_error import LayerError, LayerErrors, Operand

__all__ = ["layer_rows", "operand_rows"]


def layer_rows(errors: LayerErrors) -> list[dict[str, Any]]:
    """Return one row a layer, in the order in which they run."""
    return [_layer(position, layer) for position, layer in enumerate(errors.layers)]


def operand_rows(errors: LayerErrors) -> list[dict[str, Any]]:
    """Return one row for each rounded tensor that a layer reads."""
    return [
        {"position": position, "layer": layer.name, "operand": number, **_operand(operand)}
        for position, layer in enumerate(errors.layers)
        for number, operand in enumerate(layer.operands)
    ]


def _layer(position: int, layer: LayerError) -> dict[str, Any]:
    return {
        "position": position,
        "layer": layer.name,
        "op": layer.op,
        "path": layer.path,
        "selector": layer.selector,
        "shape": tuple(map(int, layer.shape)),
        "isolated_sqnr_db": float(layer.isolated_sqnr_db),
        "isolated_cosine": float(layer.isolated_cosine),
        "accumulated_sqnr_db": float(layer.accumulated_sqnr_db),
        "accumulated_cosine": float(layer.accumulated_cosine),
        "scale": _input_scale(layer),
        "saturated": max((float(x.saturated) for x in layer.operands), default=math.nan),
        "used": min((float(x.used) for x in layer.operands), default=math.nan),
        "accumulator": float(layer.accumulator),
        "operations": int(layer.operations),
        "reads": tuple(map(int, layer.reads)),
    }


def _input_scale(layer: LayerError) -> float:
    """Return the step of the first operand that is no weight; NaN if there is none."""
    scales = (float(np.max(x.scale)) for x in layer.operands if x.kind != "weight")
    return next(scales, math.nan)


def _operand(operand: Operand) -> dict[str, Any]:
    channels = np.asarray(operand.channels, np.float64).reshape(-1)
    some = channels.size > 0
    return {
        "kind": operand.kind,
        "source": operand.source,
        "scale_min": float(np.min(operand.scale)),
        "scale_max": float(np.max(operand.scale)),
        "zero_point": int(operand.zero_point),
        "low": int(operand.low),
        "high": int(operand.high),
        "minimum": float(operand.minimum),
        "maximum": float(operand.maximum),
        "saturated": float(operand.saturated),
        "used": float(operand.used),
        "channels": int(channels.size),
        "channels_zero": int(np.sum(channels == 0)),
        "channel_median": float(np.median(channels)) if some else math.nan,
        "channel_max": float(channels.max()) if some else math.nan,
        "calibrated": bool(operand.calibrated),
    }
