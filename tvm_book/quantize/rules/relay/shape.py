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


def _realize_concat(r, call, args):
    if not all(map(r.is_quantized, args)):
        return dequantize_all(r, call, args)
    config, dtype = r.config, r.config.dtype_activation
    if len(args) == 2:
        scale = min(arg.scale for arg in args)
        # Relay's accident: the second operand alone decides to stay narrow
        if args[1].dtype == config.dtype_input:
            dtype = config.dtype_input
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
