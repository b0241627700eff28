"""Layers on grids whose steps are powers of two, and what NumPy's integers make of them.

The exact result is ``floor(sum * 2**k + 1/2)`` then.
"""

from itertools import product

import numpy as np
from tvm import relax

from tests.quantize.graphs import module, run
from tvm_book.quantize import QConfig, ops
from tvm_book.quantize.realize import Realize
from tvm_book.quantize.rules.affine import AFFINE

GRIDS = [(-128, 127), (-127, 127), (0, 255), (-255, 0), (-37, 218), (-8, 7)]
INPUT_BITS, RESULT_BITS = 4, 3  # steps of 1/16 and 1/8


def on_grid(x, scale, ends, kind="input"):
    numbers = [relax.const(np.asarray(n, np.float32)) for n in (scale, *ends)]
    return ops.simulated_quantize(x, *numbers, kind=kind)


def draw_steps(rng, shape, ends):
    """Integers of a grid, a quarter of them at its ends."""
    steps = rng.integers(ends[0], ends[1] + 1, shape)
    at_end = rng.random(shape) < 0.25
    return np.where(at_end, rng.choice(ends, shape), steps).astype(np.int64)


def draw_weight(rng, shape, axis):
    """Integers, and the bits of each output channel's step: 2**-6 to 2**-13."""
    bits = rng.integers(6, 14, shape[axis])
    along = [-1 if i == axis % len(shape) else 1 for i in range(len(shape))]
    return draw_steps(rng, shape, (-127, 127)), bits.reshape(along)


def realize(build, **options):
    inputs = options.pop("inputs")
    config = QConfig(preset="accurate", **options)
    return Realize.as_pass(AFFINE, config)(module(build, **inputs))


def layer_module(layer, x, x_ends, weight, bits, result_ends):
    """Make ``round(layer(round(x), round(weight)))``."""
    steps = np.ldexp(1.0, -bits)

    def build(emit, data):
        kernel = on_grid(
            relax.const((weight * steps).astype("float32")), steps, (-127, 127), "weight"
        )
        rounded = on_grid(data, 2.0**-INPUT_BITS, x_ends)
        return emit(on_grid(layer(emit(rounded), emit(kernel)), 2.0**-RESULT_BITS, result_ends))

    return realize(build, inputs={"x": x.shape})


def rounded(total, bits, ends):
    """Return ``total * 2**-bits`` on the result's grid, as the float32 that leaves the module."""
    exact = np.floor(total * np.ldexp(1.0, RESULT_BITS - bits) + 0.5)
    return (np.clip(exact, *ends) * 2.0**-RESULT_BITS).astype("float32")


def check_layer(layer, x, x_ends, weight, bits, result_ends, total, result_bits):
    mod = layer_module(layer, x, x_ends, weight, bits, result_ends)
    result = run(mod, (x * 2.0**-INPUT_BITS).astype("float32"))
    np.testing.assert_array_equal(result, rounded(total, INPUT_BITS + result_bits, result_ends))


# the reference: loops over taps


def convolve(x, w, strides, before, after, dilation, groups):
    """Cross-correlation of integers of shape (N, C, ...)."""
    n = w.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *zip(before, after, strict=True)])
    extents = [
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip(x.shape[2:], w.shape[2:], strides, dilation, strict=True)
    ]
    outer, inner = w.shape[0] // groups, w.shape[1]
    result = np.zeros((len(x), w.shape[0], *extents), np.int64)
    for o, i, tap in product(range(w.shape[0]), range(inner), np.ndindex(*w.shape[2:])):
        window = tuple(
            slice(t * d, t * d + s * (e - 1) + 1, s)
            for t, d, s, e in zip(tap, dilation, strides, extents, strict=True)
        )
        result[:, o] += x[(slice(None), o // outer * inner + i, *window)] * w[(o, i, *tap)]
    assert n == len(extents)
    return result


def spread(x, w, strides, before, after, dilation, groups, beyond):
    """Transposed convolution: each element adds its multiple of the kernel to the result."""
    inner, outer = w.shape[0] // groups, w.shape[1]
    sizes = [
        s * (size - 1) + d * (k - 1) + 1 + more
        for size, k, s, d, more in zip(
            x.shape[2:], w.shape[2:], strides, dilation, beyond, strict=True
        )
    ]
    result = np.zeros((len(x), outer * groups, *sizes), np.int64)
    for i, o, tap in product(range(w.shape[0]), range(outer), np.ndindex(*w.shape[2:])):
        window = tuple(
            slice(t * d, t * d + s * (size - 1) + 1, s)
            for t, d, s, size in zip(tap, dilation, strides, x.shape[2:], strict=True)
        )
        result[(slice(None), i // inner * outer + o, *window)] += x[:, i] * w[(i, o, *tap)]
    crop = (slice(b, size - a) for b, a, size in zip(before, after, sizes, strict=True))
    return result[(slice(None), slice(None), *crop)]
