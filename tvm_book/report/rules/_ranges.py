"""Rules about grids that do not fit the values."""

from __future__ import annotations

from collections.abc import Iterator

from ..._text import plural
from ...quantize._layer_error import LayerError, LayerErrors, Operand
from .._columns import share_text
from ._words import CALIBRATE, Hint, ends, finite_operands, is_constant, largest, power2, what

__all__ = ["clipped", "constant_input", "few_steps", "never_calibrated"]

# The best threshold for 8 bits cuts off 0.01% of a normal distribution, that for 4 bits 1%.
CLIPPED = 0.01
# A quarter of the steps: two bits of the eight say nothing. A ReLU on a symmetric grid uses half.
FEW_STEPS = 0.25
COARSE = 16  # with fewer steps a share says little


def clipped(layer: LayerError, errors: LayerErrors) -> Iterator[Hint]:
    """Find many values beyond the ends of the grid."""
    for operand in finite_operands(layer):
        if operand.saturated > CLIPPED:
            yield Hint(
                f"{share_text(operand.saturated)} of {what(operand)} is clipped: the grid ends at "
                f"{ends(operand)}, the values at {operand.minimum:.4g} and {operand.maximum:.4g}",
                _widen(layer, operand),
            )


def _widen(layer: LayerError, operand: Operand) -> str:
    if operand.kind == "weight":
        return 'weight_scale="max" keeps every weight on its grid'
    if not operand.calibrated:
        return f"{CALIBRATE}, or give a wider constant: global_scale={power2(largest(operand)):g}"
    return (
        f'calibrate on data like these; calibrate_layers={{{layer.selector!r}: "minmax"}} keeps '
        "every value that calibration saw"
    )


def few_steps(layer: LayerError, errors: LayerErrors) -> Iterator[Hint]:
    """Find a grid that is much wider than the values."""
    for operand in finite_operands(layer):
        steps = operand.high - operand.low + 1
        if _uses_few(operand):
            yield Hint(
                f"only {share_text(operand.used)} of the {steps} steps are used by "
                f"{what(operand)}: the values lie between {operand.minimum:.4g} and "
                f"{operand.maximum:.4g}, the grid ends at {ends(operand)}",
                _narrow(layer, operand),
            )


def _uses_few(operand: Operand) -> bool:
    fine = operand.high - operand.low + 1 >= COARSE
    return operand.used < FEW_STEPS and fine and not is_constant(operand)


def _narrow(layer: LayerError, operand: Operand) -> str:
    if operand.kind == "weight":
        return 'weight_scale="mse" fits the grid to the weights'
    if not operand.calibrated:
        return f"{CALIBRATE}, or give a smaller constant: global_scale={power2(largest(operand)):g}"
    return (
        f'calibrate on data like these, or calibrate_layers={{{layer.selector!r}: "percentile"}}, '
        "which leaves rare large values out"
    )


def constant_input(layer: LayerError, errors: LayerErrors) -> Iterator[Hint]:
    """Find a tensor that should depend on the data and does not."""
    for operand in finite_operands(layer):
        if operand.kind != "weight" and operand.source != "const" and is_constant(operand):
            yield Hint(
                f"{what(operand)} is {operand.minimum:.4g} in every place of "
                f"{plural(errors.samples, 'sample')}",
                f"look at the data, and at what comes before {layer.name}: its error means nothing "
                "as long as its input says nothing",
                "medium",
            )


def never_calibrated(layer: LayerError, errors: LayerErrors) -> Iterator[Hint]:
    """Find a grid that is a constant, which nobody compared with data."""
    unknown = [x for x in finite_operands(layer) if x.kind != "weight" and not x.calibrated]
    constant = [x for x in unknown if x.saturated <= CLIPPED and not _uses_few(x)]  # said already
    if constant:
        first = constant[0]
        were = "was" if len(constant) == 1 else "were"
        yield Hint(
            f"{plural(len(constant), 'grid')} {were} not chosen from data: that of {what(first)} "
            f"ends at {ends(first)}, the values at {first.minimum:.4g} and {first.maximum:.4g}",
            CALIBRATE,
        )
