"""Rules for pooling."""

from __future__ import annotations

from ...annotate import ACTIVATION, INPUT
from ...realize import Quantized
from ..rule import Rule, dequantize_all, keep_group, keep_kind

__all__ = ["RULES"]


def _annotate_max_pool(a, call, args):
    (x,) = args
    if x.kind is None:
        return keep_kind(a, call, args)
    expr = a.simulate(x.expr, INPUT) if x.kind == ACTIVATION else x.expr
    return x._replace(expr=a.emit(call, [expr]), kind=INPUT)


def _realize_as(kind):
    def realize(r, call, args):
        (x,) = args
        if not r.is_quantized(x):
            return dequantize_all(r, call, args)
        dtype = r.config.get_dtype_by_kind(kind)
        return Quantized(r.emit(call, [r.arith.cast(x.expr, dtype)]), x.scale, dtype)

    return realize


def _partition_global_pool(p, call, args):
    (x,) = args
    return p.plain(p.emit(call, [p.close(x._replace(open=True))]))


def _annotate_global_pool(a, call, args):
    (x,) = args
    value = a.plain(a.emit(call, [x.expr]))
    a.stopped = a.stopped or x.kind is not None
    return value


RULES = (
    Rule(
        "relax.nn.max_pool2d",
        partition=keep_group,
        annotate=_annotate_max_pool,
        realize=_realize_as(INPUT),
    ),
    Rule("relax.nn.max_pool1d", annotate=_annotate_max_pool, realize=_realize_as(INPUT)),
    Rule("relax.nn.avg_pool2d", annotate=keep_kind, realize=_realize_as(ACTIVATION)),
    Rule(
        "relax.nn.global_avg_pool2d",
        partition=_partition_global_pool,
        annotate=_annotate_global_pool,
        realize=_realize_as(ACTIVATION),
    ),
)
