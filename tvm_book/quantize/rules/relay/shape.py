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

ROOM = 16  # bits below the steps of a narrow field; as many are left above it


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
        args, scale, dtype = _two_fields(r, args)
    else:
        scale = np.float32(config.global_scale / 2 ** (config.nbit_activation - 1))
    coarse, info = max(arg.scale for arg in args), np.iinfo(dtype)
    if coarse / scale > info.max:  # then the type does not hold a single step of the coarse field
        scale = coarse / np.float32(2 ** (info.bits // 2))
    fields = call.args[0].fields
    narrowed = [is_rounded_input(r, leaf) for leaf in fields]
    unified = relax.Tuple(unify(r, args, scale, dtype, narrowed))
    return Quantized(r.builder.emit(relax.op.concat(unified, call.attrs.axis)), scale, dtype)


def _two_fields(r, args):
    """Return two fields, and the scale and type to concatenate them in.

    Relay let the second field alone decide about the type, and failed where that mattered.
    """
    narrow, wide = r.config.dtype_input, r.config.dtype_activation
    types, scales = [arg.dtype for arg in args], [arg.scale for arg in args]
    if types == [narrow, narrow] and scales[0] == scales[1]:
        return args, scales[0], narrow
    if types in ([narrow, "float32"], ["float32", narrow]):
        thin = scales[types.index(narrow)]
        wraps = thin / min(scales) * 2 ** (r.config.nbit_input - 1) > 2**31
        if wraps or types[1] == narrow:
            scale = thin / 2**ROOM
            return [_coarsen(r, arg, scale) for arg in args], scale, wide
    return args, min(scales), wide


def _coarsen(r, x, scale):
    """Round a float field, so far on the finest of grids, to steps that a narrow field can share.

    On the finest grid, the narrow field might wrap around, or the rounding that follows would.
    """
    if x.dtype != "float32":
        return x
    steps = r.arith.round(r.arith.multiply(x.expr, x.scale / scale))
    return Quantized(steps, scale, x.dtype)


def _keeper(op: str, relay: str = "") -> Rule:
    return Rule(op, annotate=keep_kind, realize=on_data, relay=relay)


RULES = (
    Rule("relax.concat", annotate=_annotate_concat, realize=_realize_concat, relay="concatenate"),
    _keeper("relax.reshape"),
    _keeper("relax.permute_dims", relay="transpose"),
    _keeper("relax.strided_slice"),
    _keeper("relax.nn.batch_flatten"),
)
