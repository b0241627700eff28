"""Apply the rules to a record, and put what they find in order."""

from __future__ import annotations

import math

from .._text import plural
from ..quantize._layer_error import LayerError, LayerErrors
from ._explanation import Explanation
from ._finding import SEVERITIES, Finding
from ._grades import grade, severity, sqnr_text
from .rules import RULES

__all__ = ["explain"]


def explain(errors: LayerErrors) -> Explanation:
    """Return what is to be said about each layer, the most important first.

    The order is that of severity, then of the error that a layer makes itself, then of the rules.
    """
    found = [
        finding
        for position, layer in enumerate(errors.layers)
        for finding in _findings(position, layer, errors)
    ]
    found.sort(key=lambda f: _weight(f, errors.layers[f.position]))
    return Explanation(tuple(found), _summary(errors))


def _findings(position: int, layer: LayerError, errors: LayerErrors) -> list[Finding]:
    usual = severity(layer.isolated_sqnr_db)
    found = [
        Finding(
            layer.name,
            position,
            kind,
            hint.severity or usual,
            hint.sentence,
            hint.advice,
            layer.path,
        )
        for kind, rule in RULES
        for hint in rule(layer, errors)
    ]
    if found:
        return found
    sentence = (
        f"{sqnr_text(layer.isolated_sqnr_db)} dB alone, "
        f"{sqnr_text(layer.accumulated_sqnr_db)} dB with all before it"
    )
    return [Finding(layer.name, position, "fine", "none", sentence, "nothing to do", layer.path)]


def _weight(finding: Finding, layer: LayerError) -> tuple[int, float]:
    own = layer.isolated_sqnr_db
    return SEVERITIES.index(finding.severity), math.inf if math.isnan(own) else own


def _summary(errors: LayerErrors) -> str:
    if not errors.layers:
        return "No layer is quantized."
    name = grade(errors.output_sqnr_db).name
    return (
        f"The output has {sqnr_text(errors.output_sqnr_db)} dB (cosine "
        f"{errors.output_cosine:.4f}), which is {name}, on {plural(errors.samples, 'sample')} "
        f"through {plural(len(errors.layers), 'layer')}."
    )
