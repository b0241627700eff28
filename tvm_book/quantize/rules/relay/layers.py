"""Rules for the operators that have weights: convolutions, linear layers, matrix products."""

from __future__ import annotations

import numpy as np
from tvm import relax
from tvm.ir import GenericConst

from ... import ops
from ...annotate import ACTIVATION, INPUT, WEIGHT
from ...realize import Quantized
from ..rule import Rule, dequantize_all, leave_float

__all__ = ["RULES"]


def _partition_conv2d(p, call, args):
    data, weight = args
    expr = p.emit(call, [p.close(data), p.close(weight)])
    return data._replace(expr=expr, open=True)


def _annotate_layer(a, call, args):
    data, weight = args
    if not isinstance(weight.expr, GenericConst):
        return leave_float(a, call, args)  # a weight computed at run time has no fixed scale
    x = data.expr if data.kind == INPUT else a.simulate(data.expr, INPUT)
    expr = a.emit(call, [x, a.simulate(weight.expr, WEIGHT)])
    return data._replace(expr=expr, kind=ACTIVATION)


def _annotate_batch_matmul(a, call, args):
    # Relay's importer put float operators around every batch_matmul: values enter and leave in
    # float.
    operands = [
        arg.expr if arg.kind is None else a.builder.emit(ops.barrier(arg.expr)) for arg in args
    ]
    product = a.emit(call, [a.simulate_operand(expr) for expr in operands])
    return a.plain(a.builder.emit(ops.barrier(product)))


def _skip_conv2d(a, call):
    number, a.conv_count = a.conv_count, a.conv_count + 1
    return number in (a.config.skip_conv_layers or ())


def _skip_dense(a, call):
    return a.config.skip_dense_layer


def _realize_layer(r, call, args):
    data, weight = args
    if not (r.is_quantized(data) and r.is_quantized(weight)):
        return dequantize_all(r, call, args)
    config = r.config
    x = r.arith.cast(data.expr, config.dtype_input)
    # Relay cast activations to the type of weights, too, which may be too narrow for their grid.
    is_weight = isinstance(weight.expr, GenericConst)
    stored = config.dtype_weight if is_weight else config.dtype_input
    w = r.arith.cast(weight.expr, stored)
    if config.dtype_input != stored:  # Relax convolves equal types only
        wide = str(np.promote_types(config.dtype_input, stored))
        x, w = r.arith.cast(x, wide), r.arith.cast(w, wide)
    product = r.builder.emit(_EMIT[call.op.name](x, w, call.attrs, config.dtype_activation))
    return Quantized(product, data.scale * weight.scale, config.dtype_activation)


def _conv(emit):
    def build(x, w, attrs, out_dtype):
        names = ("strides", "padding", "dilation", "groups", "data_layout", "kernel_layout")
        options = {name: getattr(attrs, name) for name in names}
        return emit(x, w, **options, out_layout=attrs.out_layout, out_dtype=out_dtype)

    return build


_EMIT = {
    "relax.nn.conv1d": _conv(relax.op.nn.conv1d),
    "relax.nn.conv2d": _conv(relax.op.nn.conv2d),
    "relax.matmul": lambda x, w, attrs, out_dtype: relax.op.matmul(x, w, out_dtype=out_dtype),
}


def _is_2d(call):
    return all(len(arg.ty.shape) == 2 for arg in call.args)


RULES = (
    Rule(
        "relax.nn.conv2d",
        partition=_partition_conv2d,
        annotate=_annotate_layer,
        realize=_realize_layer,
        skip=_skip_conv2d,
    ),
    Rule("relax.nn.conv1d", annotate=_annotate_layer, realize=_realize_layer),
    Rule(
        "relax.matmul",
        relay="nn.dense",
        when=_is_2d,
        annotate=_annotate_layer,
        realize=_realize_layer,
        skip=_skip_dense,
    ),
    Rule(
        "relax.matmul",
        relay="nn.batch_matmul",
        annotate=_annotate_batch_matmul,
        realize=_realize_layer,
    ),
)
