"""Realized layers, compiled, are NumPy's integer arithmetic bit for bit.

Steps are powers of two, so that the exact result is ``floor(sum * 2**k + 1/2)``.
"""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from tests.quantize.graphs import module, op_names, run
from tvm_book.quantize import QConfig, ops
from tvm_book.quantize.realize import Realize
from tvm_book.quantize.rules.affine import AFFINE

GRIDS = [(-128, 127), (-127, 127), (0, 255), (-255, 0), (-37, 218), (-8, 7)]
CHANNELS = st.sampled_from([1, 3, 5, 17])
few = settings(max_examples=12)
fewer = settings(max_examples=7)
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


# convolutions


@st.composite
def convolutions(draw, spatial=2):
    groups = draw(st.sampled_from([1, 1, 3]))
    inner, outer = draw(CHANNELS), draw(CHANNELS)
    if groups == 3 and draw(st.booleans()):
        groups = inner  # depthwise
        inner, outer = 1, draw(st.sampled_from([1, 2]))
    kernel = [draw(st.integers(1, 3)) for _ in range(spatial)]
    dilation = [draw(st.integers(1, 2)) for _ in range(spatial)]
    strides = [draw(st.integers(1, 2)) for _ in range(spatial)]
    before, after = ([draw(st.integers(0, 2)) for _ in range(spatial)] for _ in range(2))
    least = [
        max(1, (k - 1) * d + 1 - b - a)
        for k, d, b, a in zip(kernel, dilation, before, after, strict=True)
    ]
    sizes = [size + draw(st.sampled_from([0, 0, 1, 4])) for size in least]
    return {
        "x": (draw(st.integers(1, 3)), inner * groups, *sizes),
        "w": (outer * groups, inner, *kernel),
        "options": (strides, before, after, dilation, groups),
        "ends": (draw(st.sampled_from(GRIDS)), draw(st.sampled_from(GRIDS))),
        "seed": draw(st.integers(0, 99)),
    }


def check_convolution(case, operator):
    rng = np.random.default_rng(case["seed"])
    strides, before, after, dilation, groups = case["options"]
    x_ends, result_ends = case["ends"]
    x, (w, bits) = draw_steps(rng, case["x"], x_ends), draw_weight(rng, case["w"], 0)

    def layer(data, kernel):
        return operator(
            data, kernel, strides=strides, padding=[*before, *after], dilation=dilation,
            groups=groups,
        )  # fmt: skip

    total = convolve(x, w, *case["options"])
    along = bits.reshape(-1, *(1,) * len(strides))
    check_layer(layer, x, x_ends, w, bits, result_ends, total, along)


@few
@given(convolutions())
def test_conv2d(case):
    check_convolution(case, relax.op.nn.conv2d)


@fewer
@given(convolutions(spatial=1))
def test_conv1d(case):
    check_convolution(case, relax.op.nn.conv1d)


@pytest.mark.parametrize("outer", [1, 2])
def test_depthwise(outer):
    """Seventeen channels, each with a filter of its own, on an image padded unevenly."""
    case = {
        "x": (2, 17, 5, 4),
        "w": (17 * outer, 1, 3, 3),
        "options": ([2, 1], [1, 0], [0, 2], [1, 1], 17),
        "ends": ((-37, 218), (-128, 127)),
        "seed": 0,
    }
    check_convolution(case, relax.op.nn.conv2d)


@st.composite
def transposed(draw, spatial=2):
    groups = draw(st.sampled_from([1, 2, 3]))
    kernel = [draw(st.integers(1, 3)) for _ in range(spatial)]
    strides = [draw(st.integers(1, 3)) for _ in range(spatial)]
    dilation = [draw(st.integers(1, 2)) for _ in range(spatial)]
    beyond = [draw(st.integers(0, s - 1)) for s in strides]
    sizes = [draw(st.sampled_from([1, 2, 4])) for _ in range(spatial)]
    reach = [
        (n - 1) * s + (k - 1) * d
        for n, s, k, d in zip(sizes, strides, kernel, dilation, strict=True)
    ]
    before = [draw(st.integers(0, min(1, r // 2))) for r in reach]
    after = [draw(st.integers(0, min(1, r - b))) for r, b in zip(reach, before, strict=True)]
    return {
        "x": (draw(st.integers(1, 2)), draw(st.sampled_from([1, 3])) * groups, *sizes),
        "outer": draw(st.sampled_from([1, 3, 5])),
        "kernel": kernel,
        "options": (strides, before, after, dilation, groups, beyond),
        "ends": (draw(st.sampled_from(GRIDS)), draw(st.sampled_from(GRIDS))),
        "seed": draw(st.integers(0, 99)),
    }


def check_transposed(case, operator):
    """One scale for each channel of a group: TVM's weight has (in, out / groups, ...)."""
    rng = np.random.default_rng(case["seed"])
    strides, before, after, dilation, groups, beyond = case["options"]
    x_ends, result_ends = case["ends"]
    x = draw_steps(rng, case["x"], x_ends)
    w, bits = draw_weight(rng, (x.shape[1], case["outer"], *case["kernel"]), 1)

    def layer(data, kernel):
        return operator(
            data, kernel, strides=strides, padding=[*before, *after], dilation=dilation,
            groups=groups, output_padding=beyond,
        )  # fmt: skip

    total = spread(x, w, *case["options"])
    along = np.tile(bits.ravel(), groups).reshape(-1, *(1,) * len(strides))
    check_layer(layer, x, x_ends, w, bits, result_ends, total, along)


@few
@given(transposed())
def test_conv2d_transpose(case):
    check_transposed(case, relax.op.nn.conv2d_transpose)


@fewer
@given(transposed(spatial=1))
def test_conv1d_transpose(case):
    check_transposed(case, relax.op.nn.conv1d_transpose)


# products


@pytest.mark.parametrize(
    "x_shape, w_shape",
    [
        ((1, 1), (1, 1)),
        ((3, 17), (17, 5)),
        ((2, 3, 5), (5, 17)),
        ((2, 1, 3, 5), (5, 3)),
        ((2, 3, 5), (2, 5, 4)),
        ((3, 5), (2, 5, 4)),
    ],
)
@pytest.mark.parametrize("ends", [(-128, 127), (-37, 218)])
def test_matmul_with_a_constant(x_shape, w_shape, ends):
    rng = np.random.default_rng(0)
    x, (w, bits) = draw_steps(rng, x_shape, ends), draw_weight(rng, w_shape, -1)
    check_layer(relax.op.matmul, x, ends, w, bits, (-255, 0), x @ w, bits.ravel())


@pytest.mark.parametrize(
    "shapes", [((3, 5), (5, 4)), ((2, 3, 17), (2, 17, 1)), ((2, 1, 4), (4, 3))]
)
@pytest.mark.parametrize("ends", [(-127, 127), (-37, 218), (0, 255)])
def test_matmul_of_two_tensors(shapes, ends):
    rng = np.random.default_rng(0)
    y_ends = (-255, 0) if ends[0] != -127 else ends
    x, y = draw_steps(rng, shapes[0], ends), draw_steps(rng, shapes[1], y_ends)

    def build(emit, left, right):
        left = on_grid(left, 2.0**-INPUT_BITS, ends)
        right = on_grid(right, 2.0**-9, y_ends)
        total = relax.op.matmul(emit(left), emit(right))
        return emit(on_grid(total, 2.0**-RESULT_BITS, (-37, 218)))

    mod = realize(build, inputs={"x": shapes[0], "y": shapes[1]})
    arrays = (x * 2.0**-INPUT_BITS).astype("float32"), (y * 2.0**-9).astype("float32")
    expected = rounded(x @ y, INPUT_BITS + 9, (-37, 218))
    np.testing.assert_array_equal(run(mod, *arrays), expected)
    # sums of rows and columns are needed only against a zero point that is not 0
    assert op_names(mod).count("sum") == (0 if ends[0] == -127 else 2)


# what a layer is made of


@pytest.mark.parametrize("ends, padded", [((-128, 127), False), ((0, 255), True)])
def test_the_border_is_padded_only_where_zero_is_not_stored_as_0(ends, padded):
    def layer(data, kernel):
        return relax.op.nn.conv2d(data, kernel, padding=1)

    w = np.ones((2, 3, 3, 3), np.int64)
    mod = layer_module(layer, np.zeros((1, 3, 4, 4)), ends, w, np.array(6), (-128, 127))
    names = op_names(mod)
    assert names == ["quantize"] + ["nn.pad"] * padded + [
        "nn.conv2d", "astype", "multiply", "add", "right_shift", "clip", "astype", "dequantize",
    ]  # fmt: skip


def test_the_constant_beside_the_shift_holds_the_zero_points():
    """No tensor is added for a zero point of the data: it is part of what rounds."""
    w = np.ones((2, 3, 1, 1), np.int64)
    mods = [
        layer_module(relax.op.nn.conv2d, np.zeros((1, 3, 4, 4)), ends, w, np.array(6), (-128, 127))
        for ends in ((-128, 127), (0, 255))
    ]
    assert op_names(mods[0]) == op_names(mods[1])
