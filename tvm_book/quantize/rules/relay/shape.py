"""Rules for operators that only move elements."""

from __future__ import annotations

import numpy as np
from tvm import relax

from ...annotate import ACTIVATION
from ...realize import Quantized
from ..rule import Rule, dequantize_all, keep_kind, leave_float, on_data
from ._rescale import unify
from .elementwise import is_rounded_input

__all__ = ["RULES"]


def _annotate_concat(a, call, args):
    if all(arg.kind is None for arg in args):
        return leave_float(a, call, args)
    exprs = [a.simulate(arg.expr, ACTIVATION) if arg.kind is None else arg.expr for arg in args]
    return args[0]._replace(expr=a.emit(call, exprs), kind=ACTIVATION)


ROOM = 16  # bits below the steps of a narrow field; as many are left above it


def _coarsen(r, x, scale):
    """Round a float field, so far on the finest of grids, to steps that a narrow field can share.

    Relay took such a field for narrow and failed. Without coarser steps the narrow field might
    wrap, and the rounding that follows would.
    """
    steps = r.arith.round(r.arith.multiply(x.expr, x.scale / scale))
    return Quantized(steps, scale, x.dtype)


def _realize_concat(r, call, args):
    if not all(map(r.is_quantized, args)):
        return dequantize_all(r, call, args)
    config, dtype = r.config, r.config.dtype_activation
    if len(args) == 2:
        scale = min(arg.scale for arg in args)
        narrow = [arg.dtype == config.dtype_input for arg in args]
        if all(narrow) and args[0].scale == args[1].scale:
            dtype = config.dtype_input
        elif narrow[1] and args[0].dtype == "float32":
            scale = args[1].scale / 2**ROOM
            args = [_coarsen(r, args[0], scale), args[1]]
    else:
        scale = np.float32(config.global_scale / 2 ** (config.nbit_activation - 1))
    fields = call.args[0].fields
    narrowed = [is_rounded_input(r, leaf) for leaf in fields]
    unified = relax.Tuple(unify(r, args, scale, dtype, narrowed))
    return Quantized(r.builder.emit(relax.op.concat(unified, call.attrs.axis)), scale, dtype)


def _keeper(op: str, relay: str = "") -> Rule:
    return Rule(op, annotate=keep_kind, realize=on_data, relay=relay)


RULES = (
    Rule("relax.concat", annotate=_annotate_concat, realize=_realize_concat, relay="concatenate"),
    _keeper("relax.reshape"),
    _keeper("relax.permute_dims", relay="transpose"),
    _keeper("relax.strided_slice"),
    _keeper("relax.nn.batch_flatten"),
)
