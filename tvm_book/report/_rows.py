"""A report as plain values: a flat row a layer, a row an operand, and all of it in one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._json import json_safe
from ..quantize._layer_error import LayerError, LayerErrors, Operand
from ._explanation import Explanation

__all__ = ["document", "layer_rows", "operand_rows"]

FORMAT = 1  # of `document`


def layer_rows(errors: LayerErrors, explanation: Explanation) -> list[dict[str, Any]]:
    """Return one row a layer, in the order in which they run, each with its first finding."""
    rows = [_layer(position, layer) for position, layer in enumerate(errors.layers)]
    for finding in reversed(explanation.findings):  # the most important one comes last
        rows[finding.position] |= {"finding": finding.kind, "severity": finding.severity}
    return rows


def operand_rows(errors: LayerErrors) -> list[dict[str, Any]]:
    """Return one row for each rounded tensor that a layer reads."""
    return [
        {"position": position, "layer": layer.name, "operand": number, **_operand(operand)}
        for position, layer in enumerate(errors.layers)
        for number, operand in enumerate(layer.operands)
    ]


def document(errors: LayerErrors, explanation: Explanation) -> dict[str, Any]:
    """Return everything as `json_safe` values: the layers, their operands and the findings."""
    rows = [row | {"operands": []} for row in layer_rows(errors, explanation)]
    for operand in operand_rows(errors):
        rows[operand["position"]]["operands"].append(
            {key: x for key, x in operand.items() if key not in ("position", "layer")}
        )
    return json_safe(
        {
            "format": FORMAT,
            "samples": int(errors.samples),
            "output_sqnr_db": float(errors.output_sqnr_db),
            "output_cosine": float(errors.output_cosine),
            "outputs": tuple(map(int, errors.outputs)),
            "layers": rows,
            "findings": explanation.to_dicts(),
        }
    )


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
