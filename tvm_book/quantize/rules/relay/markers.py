"""Rules for the quantizer's own operators."""

from __future__ import annotations

import numpy as np

from ..._graph import op_name, to_numpy
from ...annotate import ACTIVATION, INPUT
from ...prepare import broadcastable_bias
from ..rule import Rule, keep_group, keep_kind, leave_float
from ._rescale import narrow_to_grid, quantize_float
from .elementwise import is_rounded_input

__all__ = ["RULES"]

CAST_HINT, STOP_FUSION = "relax.annotation.cast_hint", "relax.annotation.stop_fusion"
RELAY_HINT = "annotation.cast_hint"


def _annotate_cast_hint(a, call, args):
    (x,) = args
    if x.kind is None:  # nothing to cast: the hint disappears
        return x
    expr = a.simulate(x.expr, INPUT) if x.kind == ACTIVATION else x.expr
    return x._replace(expr=a.emit(call, [expr]), kind=INPUT)


def _realize_cast_hint(r, call, args):
    (x,) = args
    if not r.is_quantized(x):
        return x
    dtype = str(call.attrs["dtype"])
    return x._replace(expr=r.arith.cast(x.expr, dtype), dtype=dtype)


def _refuse_wrapped(r, leaf):
    """Without its own rule, a hint casts accumulators that were never rounded: they wrap around.

    Relay recorded that where such a value returns to float, and failed where it is requantized.
    """
    source = r.graph.value(leaf)
    if op_name(source) == STOP_FUSION:
        source = r.graph.value(source.args[0])
    enabled = r.config.debug_enabled_ops
    if op_name(source) != CAST_HINT or enabled is None or {CAST_HINT, RELAY_HINT} & set(enabled):
        return
    if not is_rounded_input(r, source.args[0]):
        raise ValueError(
            f"debug_enabled_ops={list(enabled)} would requantize an accumulator that was cast to "
            f"{r.config.dtype_input} without being rounded; enable {RELAY_HINT!r}, too"
        )


def _realize_simulated_quantize(r, call, args):
    x, *grid = args
    scale, low, high = (to_numpy(number)[()] for number in grid)
    if r.is_quantized(x):
        _refuse_wrapped(r, call.args[0])
        return narrow_to_grid(r, x, scale, low, high)
    return quantize_float(r, x, np.float32(scale), low, high)


def _realize_bias_add(r, call, args):
    x, bias = args
    return r.arith.add(r.dequantize(x), broadcastable_bias(bias, call))


RULES = (
    Rule(
        CAST_HINT,
        relay=RELAY_HINT,
        annotate=_annotate_cast_hint,
        realize=_realize_cast_hint,
    ),
    Rule(
        STOP_FUSION,
        relay="annotation.stop_fusion",
        partition=keep_group,
        annotate=keep_kind,
        realize=lambda r, call, args: args[0],
    ),
    Rule("relax.annotation.barrier", realize=lambda r, call, args: r.dequantize(args[0])),
    Rule("relax.qnn.simulated_quantize", realize=_realize_simulated_quantize),
    Rule("relax.nn.bias_add", annotate=leave_float, realize=_realize_bias_add),
)
