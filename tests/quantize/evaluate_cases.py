"""Operators with the attributes that importers give them; one line, one call to compare."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from tvm import relax
from tvm.relax import op

from tests.quantize.graphs import array, constant
from tvm_book.quantize import ops

f32 = np.float32


def integers(*shape: int, low: int = -100, high: int = 100, dtype: str = "int32", seed: int = 0):
    values = np.random.default_rng(seed).integers(low, high, shape)
    return relax.const(values.astype(dtype), dtype)


def const(values, dtype="float32"):
    return relax.const(np.asarray(values, dtype), dtype)


IMAGE = constant(2, 4, 7, 9, scale=2)
ROWS = constant(3, 8, seed=1, scale=3)
POSITIVE = relax.const(np.abs(array(3, 8, seed=2)) + f32(0.01))
UNIT = relax.const(np.tanh(array(3, 8, seed=3)))
# halves, quarters and whole numbers: ties of every rounding
TIES = const(np.arange(-14, 14) / 4)
INTS = integers(3, 8)
DIVISORS = integers(3, 8, low=1, high=9, seed=1)
SMALL = integers(3, 8, low=0, high=5, seed=4)
FLAGS = relax.const(array(3, 8, seed=5) > 0)
OTHER = constant(8, seed=6)

# Data movement, and arithmetic of which IEEE leaves no choice: equal bits.
EXACT: dict[str, Callable[[], relax.Expr]] = {
    **{name: lambda name=name: getattr(op, name)(ROWS) for name in ("abs", "negative", "sign")},
    **{name: lambda name=name: getattr(op, name)(ROWS) for name in ("square", "isnan", "isinf")},
    **{
        f"{name} of ties": lambda name=name: getattr(op, name)(TIES)
        for name in ("ceil", "floor", "round", "trunc")
    },
    "isfinite": lambda: op.isfinite(const([1, np.inf, -np.inf, np.nan])),
    "round_half_away": lambda: ops.round_half_away(TIES),
    "round_half_away below a half": lambda: ops.round_half_away(
        const([0.49999997, -0.49999997, 8388609, -0.0])
    ),
    "logical_not": lambda: op.logical_not(FLAGS),
    "bitwise_not": lambda: op.bitwise_not(INTS),
    **{
        name: lambda name=name: getattr(op, name)(ROWS, OTHER)
        for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")
    },
    **{
        f"{name} of integers": lambda name=name: getattr(op, name)(INTS, DIVISORS)
        for name in ("add", "multiply", "divide", "floor_divide", "mod", "floor_mod", "minimum")
    },
    "add wraps around": lambda: op.add(const([127, -128], "int8"), const([1, -1], "int8")),
    "floor_divide": lambda: op.floor_divide(ROWS, POSITIVE),
    "negative of integers": lambda: op.negative(INTS),
    "abs of integers": lambda: op.abs(INTS),
    **{
        name: lambda name=name: getattr(op, name)(SMALL, DIVISORS)
        for name in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
    },
    **{
        name: lambda name=name: getattr(op, name)(FLAGS, op.logical_not(FLAGS))
        for name in ("logical_and", "logical_or", "logical_xor")
    },
    **{
        name: lambda name=name: getattr(op, name)(INTS, DIVISORS)
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift")
    },
    "where": lambda: op.where(FLAGS, ROWS, OTHER),
    "clip": lambda: op.clip(ROWS, -1.5, 2),
    "clip of integers": lambda: op.clip(INTS, -20, 30),
    "relu": lambda: op.nn.relu(ROWS),
    "relu of integers": lambda: op.nn.relu(INTS),
    "leakyrelu": lambda: op.nn.leakyrelu(ROWS, 0.1),
    "prelu": lambda: op.nn.prelu(IMAGE, constant(4), axis=1),
    "prelu, one slope": lambda: op.nn.prelu(IMAGE, const([0.3]), axis=1),
    "bias_add": lambda: ops.bias_add(IMAGE, constant(4), axis=1),
    "bias_add from the end": lambda: ops.bias_add(ROWS, OTHER, axis=-1),
    "dropout": lambda: op.nn.dropout(ROWS),
    "max": lambda: op.max(IMAGE, [1, -1]),
    "max of all": lambda: op.max(IMAGE),
    "min keeps axes": lambda: op.min(IMAGE, 2, keepdims=True),
    "sum of integers": lambda: op.sum(INTS, 0),
    "prod of integers": lambda: op.prod(SMALL, [0, 1]),
    "argmax": lambda: op.argmax(IMAGE, 1),
    "argmin keeps axes": lambda: op.argmin(IMAGE, -1, keepdims=True),
    "argmax of all": lambda: op.argmax(IMAGE),
    "cumsum of integers": lambda: op.cumsum(INTS, 1),
    **{
        f"astype {dtype}": lambda dtype=dtype: op.astype(ROWS, dtype)
        for dtype in ("int8", "int32", "int64", "float64", "float16")
    },
    "astype of integers": lambda: op.astype(INTS, "int8"),
    "astype of flags": lambda: op.astype(FLAGS, "float32"),
    "quantize": lambda: op.quantize(ROWS, const(0.05), const(3, "int8"), axis=0),
    "quantize per channel": lambda: op.quantize(
        ROWS, const(np.arange(1, 9) / 50), const(range(8), "int8"), axis=1, out_dtype="uint8"
    ),
    "dequantize": lambda: op.dequantize(INTS, const(0.3), const(3, "int32"), axis=0),
    "dequantize per channel": lambda: op.dequantize(
        op.astype(INTS, "int8"), const(np.arange(1, 9)), const(range(8), "int8"), axis=-1
    ),
    "simulated_quantize": lambda: ops.simulated_quantize(
        ROWS, const(0.1), const(-20), const(15), kind="input"
    ),
    "simulated_quantize per channel": lambda: ops.simulated_quantize(
        IMAGE, const([[[0.5]], [[0.25]], [[1 / 3]], [[2]]]), const(-7), const(7), kind="weight"
    ),
    "not calibrated": lambda: ops.simulated_quantize(ROWS, kind="input"),
    "cast_hint": lambda: ops.cast_hint(ROWS, "int8"),
    "stop_fusion": lambda: ops.stop_fusion(ROWS),
    "barrier": lambda: ops.barrier(ROWS),
    "reshape": lambda: op.reshape(IMAGE, (2, -1, 3)),
    "flatten": lambda: op.flatten(IMAGE),
    "batch_flatten": lambda: op.nn.batch_flatten(IMAGE),
    "broadcast_to": lambda: op.broadcast_to(OTHER, (3, 8)),
    "permute_dims": lambda: op.permute_dims(IMAGE, [0, 2, 3, 1]),
    "permute_dims turns around": lambda: op.permute_dims(IMAGE),
    "squeeze": lambda: op.squeeze(constant(1, 3, 1, 2), [-2]),
    "squeeze all": lambda: op.squeeze(constant(1, 3, 1, 2)),
    "expand_dims": lambda: op.expand_dims(ROWS, [0, -1]),
    "concat": lambda: op.concat([IMAGE, constant(2, 3, 7, 9), IMAGE], axis=1),
    "stack": lambda: op.stack([ROWS, ROWS], axis=1),
    "split": lambda: op.split(IMAGE, 2, axis=1),
    "split unevenly": lambda: op.split(IMAGE, 4, axis=3),
    "split at": lambda: op.split(IMAGE, [2, 5], axis=-1),
    "strided_slice": lambda: op.strided_slice(IMAGE, [2, -1], [1, 2], [6, 100], [2, 3]),
    "strided_slice from the end": lambda: op.strided_slice(IMAGE, [1], [-3], [-1]),
    "strided_slice backwards": lambda: op.strided_slice(IMAGE, [3], [-1], [-100], [-2]),
    "take": lambda: op.take(IMAGE, const([[3, 0], [2, 2]], "int64"), axis=1),
    "take flat": lambda: op.take(OTHER, const([3, 0], "int32")),
    "take clips": lambda: op.take(ROWS, const([-3, 20], "int64"), axis=1, mode="clip"),
    "take wraps": lambda: op.take(ROWS, const([-3, 20], "int64"), axis=1, mode="wrap"),
    "gather_elements": lambda: op.gather_elements(ROWS, SMALL, axis=1),
    "index_tensor": lambda: op.index_tensor(ROWS, [const([0, 2], "int64"), const([7, 1], "int64")]),
    "index_put": lambda: op.index_put(
        ROWS, (const([0, 2, 0], "int64"), const([7, 1, 7], "int64")), const([1, 2, 3]), True
    ),
    "repeat": lambda: op.repeat(ROWS, 2, axis=1),
    "repeat flat": lambda: op.repeat(ROWS, 3),
    "tile": lambda: op.tile(ROWS, (2, 1, 3)),
    "flip": lambda: op.flip(IMAGE, axis=2),
    **{
        f"pad {mode}": lambda mode=mode: op.nn.pad(IMAGE, [0, 0, 0, 1, 3, 2, 1, 0], mode)
        for mode in ("constant", "reflect", "replicate", "circular")
    },
    "pad with a value": lambda: op.nn.pad(IMAGE, [0, 0, 0, 0, 1, 1, 2, 1], pad_value=-7.5),
    "pad integers": lambda: op.nn.pad(INTS, [1, 0, 0, 2], pad_value=3),
    "tril": lambda: op.tril(ROWS, 1),
    "triu": lambda: op.triu(ROWS, -1),
    "full": lambda: op.full((2, 3), const(2.5), "float32"),
    "full_like": lambda: op.full_like(ROWS, const(2.5)),
    "zeros": lambda: op.zeros((2, 3), "int32"),
    "zeros_like": lambda: op.zeros_like(INTS),
    "ones": lambda: op.ones((2, 3), "float32"),
    "ones_like": lambda: op.ones_like(ROWS),
    "arange": lambda: op.arange(2, 11, 3, "int64"),
    "conv2d of int8": lambda: op.nn.conv2d(
        integers(1, 4, 5, 5, dtype="int8"),
        integers(2, 4, 3, 3, dtype="int8", seed=1),
        out_dtype="int32",
    ),
    "matmul of int8": lambda: op.matmul(
        integers(3, 4, dtype="int8"), integers(4, 2, dtype="int8"), out_dtype="int32"
    ),
    **{
        f"max_pool2d {number}": lambda o=options: op.nn.max_pool2d(IMAGE, **o)
        for number, options in enumerate(
            [
                {"pool_size": 2, "strides": 2},
                {"pool_size": (3, 2), "strides": (2, 3), "padding": (1, 0, 0, 1)},
                {"pool_size": 3, "strides": 2, "padding": 1, "ceil_mode": True},
                {"pool_size": 2, "strides": 2, "dilation": 2},
            ]
        )
    },
    "max_pool1d": lambda: op.nn.max_pool1d(constant(2, 3, 9), 3, 2, (0, 1), ceil_mode=True),
    "max_pool3d": lambda: op.nn.max_pool3d(constant(1, 2, 5, 6, 7), 2, 2, 1),
    **{
        f"resize2d nearest {mode} {rounding}": lambda m=mode, r=rounding, s=size: op.image.resize2d(
            IMAGE,
            s,
            method="nearest_neighbor",
            coordinate_transformation_mode=m,
            rounding_method=r,
        )
        for (mode, rounding), size in itertools.product(
            [
                ("asymmetric", "floor"),
                ("asymmetric", ""),
                ("half_pixel", "round"),
                ("half_pixel", "round_prefer_floor"),
                ("align_corners", "round_prefer_ceil"),
                ("tf_half_pixel_for_nn", "floor"),
            ],
            [(14, 18), (5, 13)],
        )
    },
}


def _statistics(channels: int) -> list[relax.Expr]:
    variance = relax.const(np.abs(array(channels, seed=3)) + f32(0.1))
    return [constant(channels), constant(channels, seed=1), constant(channels, seed=2), variance]


# Long sums, whose order is the library's choice, and functions that each library approximates.
ROUNDED: dict[str, Callable[[], relax.Expr]] = {
    **{
        name: lambda name=name: getattr(op, name)(UNIT)
        for name in ("acos", "asin", "atan", "atanh", "asinh", "cos", "sin", "tan", "erf")
    },
    **{name: lambda name=name: getattr(op, name)(ROWS) for name in ("exp", "cosh", "sinh")},
    **{name: lambda name=name: getattr(op, name)(ROWS) for name in ("sigmoid", "tanh")},
    **{name: lambda name=name: getattr(op, name)(POSITIVE) for name in ("log", "sqrt", "rsqrt")},
    "acosh": lambda: op.acosh(op.add(POSITIVE, const(1))),
    "power": lambda: op.power(POSITIVE, OTHER),
    "atan2": lambda: op.atan2(ROWS, OTHER),
    "log_add_exp": lambda: op.log_add_exp(ROWS, OTHER),
    "mod": lambda: op.mod(ROWS, POSITIVE),
    "floor_mod": lambda: op.floor_mod(ROWS, POSITIVE),
    **{
        name: lambda name=name: getattr(op.nn, name)(ROWS)
        for name in ("gelu", "gelu_tanh", "silu", "selu", "softmax", "log_softmax")
    },
    "softmax along channels": lambda: op.nn.softmax(IMAGE, 1),
    "softplus": lambda: op.nn.softplus(ROWS, 1.5, 3.0),
    "mean": lambda: op.mean(IMAGE, [2, 3]),
    "mean of all": lambda: op.mean(IMAGE),
    "sum": lambda: op.sum(IMAGE, [-1], keepdims=True),
    "prod": lambda: op.prod(ROWS, 0),
    "variance": lambda: op.variance(IMAGE, [0, 2, 3]),
    "std": lambda: op.std(IMAGE, [3], keepdims=True),
    "cumsum": lambda: op.cumsum(ROWS, 1),
    "cumprod": lambda: op.cumprod(ROWS, 0),
    "global_avg_pool2d": lambda: ops.global_avg_pool2d(IMAGE),
    "layer_norm": lambda: op.nn.layer_norm(IMAGE, constant(9), constant(9), [-1]),
    "layer_norm of two axes": (
        lambda: op.nn.layer_norm(IMAGE, constant(7, 9), constant(7, 9), [-2, -1], epsilon=1e-3)
    ),
    "rms_norm": lambda: op.nn.rms_norm(IMAGE, constant(9), [-1], 1e-5),
    "group_norm": lambda: op.nn.group_norm(IMAGE, constant(4), constant(4), 2, 1, [2, 3]),
    "instance_norm": lambda: op.nn.instance_norm(IMAGE, constant(4), constant(4), 1, [2, 3]),
    "batch_norm": lambda: op.nn.batch_norm(IMAGE, *_statistics(4), 1, 1e-3, training=False),
    "batch_norm without scale": (
        lambda: op.nn.batch_norm(
            ROWS, *_statistics(8), axis=-1, center=False, scale=False, training=False
        )
    ),
    "attention": lambda: op.nn.attention(*(constant(2, 5, 3, 4, seed=s) for s in range(3))),
    "attention with a bias": (
        lambda: op.nn.attention(
            *(constant(2, 5, 3, 4, seed=s) for s in range(3)), constant(2, 3, 5, 5), scale=0.3
        )
    ),
    **{
        f"matmul {a} {b}": lambda a=a, b=b: op.matmul(constant(*a), constant(*b, seed=1))
        for a, b in [
            ((3, 8), (8, 5)),
            ((2, 3, 8), (8, 5)),
            ((8,), (8, 5)),
            ((2, 1, 3, 4), (5, 4, 3)),
        ]
    },
    **{
        f"conv2d {number}": (
            lambda o=options: op.nn.conv2d(IMAGE, constant(6, 4 // o.get("groups", 1), 3, 3), **o)
        )
        for number, options in enumerate(
            [
                {},
                {"padding": 1, "strides": 2},
                {"padding": (1, 0, 2, 1), "strides": (1, 2)},
                {"dilation": (2, 1), "groups": 2},
                {"padding": (0, 2), "groups": 2},
            ]
        )
    },
    "depthwise": lambda: op.nn.conv2d(IMAGE, constant(4, 1, 3, 3), padding=1, groups=4),
    "conv1d": (
        lambda: op.nn.conv1d(constant(2, 4, 9), constant(6, 2, 3), padding=(2, 1), groups=2)
    ),
    "conv3d": (
        lambda: op.nn.conv3d(
            constant(1, 2, 5, 6, 7), constant(3, 2, 2, 3, 2), strides=2, padding=(1, 0, 1, 0, 2, 1)
        )
    ),
    **{
        f"conv2d_transpose {number}": (
            lambda o=options: op.nn.conv2d_transpose(
                IMAGE, constant(4, 6 // o.get("groups", 1), 3, 3), **o
            )
        )
        for number, options in enumerate(
            [
                {"strides": 2, "padding": 1, "output_padding": 1},
                {"strides": (2, 1), "padding": (1, 0, 0, 2), "output_padding": (1, 0)},
                {"dilation": 2, "groups": 2, "padding": 1},
            ]
        )
    },
    "conv1d_transpose": (
        lambda: op.nn.conv1d_transpose(
            constant(2, 4, 9), constant(4, 3, 3), strides=2, padding=(1, 0)
        )
    ),
    "conv3d_transpose": (
        lambda: op.nn.conv3d_transpose(
            constant(1, 2, 3, 4, 3), constant(2, 3, 2, 2, 2), strides=2, padding=1
        )
    ),
    **{
        f"avg_pool2d {number}": lambda o=options: op.nn.avg_pool2d(IMAGE, **o)
        for number, options in enumerate(
            {"count_include_pad": include, **options}
            for include in (False, True)
            for options in [
                {"pool_size": 2, "strides": 2},
                {"pool_size": (3, 2), "strides": (2, 3), "padding": (1, 0, 0, 1)},
                {"pool_size": 3, "strides": 2, "padding": 1, "ceil_mode": True},
                {"pool_size": 2, "strides": 2, "padding": 0, "ceil_mode": True},
            ]
        )
    },
    "avg_pool1d": lambda: op.nn.avg_pool1d(constant(2, 3, 9), 3, 2, (0, 1)),
    "avg_pool3d": (
        lambda: op.nn.avg_pool3d(constant(1, 2, 5, 6, 7), 2, 2, 1, count_include_pad=True)
    ),
    "adaptive_avg_pool1d": lambda: op.nn.adaptive_avg_pool1d(constant(2, 3, 9), 4),
    "adaptive_avg_pool2d": lambda: op.nn.adaptive_avg_pool2d(IMAGE, (3, 4)),
    "adaptive_avg_pool2d of one": lambda: op.nn.adaptive_avg_pool2d(IMAGE, 1),
    "adaptive_avg_pool3d": (lambda: op.nn.adaptive_avg_pool3d(constant(1, 2, 5, 6, 7), (2, 3, 4))),
    **{
        f"resize2d {method} {mode} {layout}": (
            lambda method=method, mode=mode, layout=layout: op.image.resize2d(
                IMAGE, (10, 13), layout=layout, method=method, coordinate_transformation_mode=mode
            )
        )
        for method, mode, layout in [
            ("linear", "half_pixel", "NCHW"),
            ("linear", "align_corners", "NCHW"),
            ("linear", "pytorch_half_pixel", "NHWC"),
            ("linear", "asymmetric", "NCHW"),
            ("cubic", "half_pixel", "NCHW"),
            ("cubic", "align_corners", "NCHW"),
        ]
    },
}

# What torch does not do as TVM does, or the table lacks: TVM computes it.
FALLBACK: dict[str, Callable[[], relax.Expr]] = {
    "conv2d NHWC": lambda: op.nn.conv2d(
        constant(1, 5, 6, 3), constant(2, 3, 3, 3), data_layout="NHWC", kernel_layout="OHWI"
    ),
    "max_pool2d NHWC": lambda: op.nn.max_pool2d(constant(1, 6, 6, 3), 2, 2, layout="NHWC"),
    "avg_pool2d of integers": lambda: op.nn.avg_pool2d(integers(1, 3, 6, 6), 2, 2),
    "avg_pool2d dilated": lambda: op.nn.avg_pool2d(IMAGE, 2, 2, dilation=2),
    "mean of integers": lambda: op.mean(INTS, 0),
    "cumsum exclusive": lambda: op.cumsum(ROWS, 1, exclusive=True),
    "layer_norm of channels": lambda: op.nn.layer_norm(IMAGE, constant(4), constant(4), [1]),
    "batch_norm in training": lambda: op.nn.batch_norm(IMAGE, *_statistics(4), 1, training=True),
    "attention causal": lambda: op.nn.attention(
        *(constant(2, 5, 3, 4, seed=s) for s in range(3)), causal_mask="TopLeft"
    ),
    "argsort": lambda: op.argsort(ROWS, axis=1),
    "topk": lambda: op.topk(ROWS, 2, axis=1),
    "one_hot": lambda: op.one_hot(SMALL, relax.prim_value(1.0), relax.prim_value(0.0), 5),
    "gather_nd": lambda: op.gather_nd(ROWS, const([[0, 3], [2, 1]], "int64")),
    "eye": lambda: op.eye(3, 4, dtype="float32"),
    "add of a tuple's parts": lambda: op.concat(op.split(op.nn.relu(ROWS), 2, axis=1), axis=0),
}
