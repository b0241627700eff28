"""Transposed and one-dimensional convolutions: equal to torch's in 64 bits, for each level."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from tvm import relax
from tvm.relax import op

from tests.backend.kernel_cases import EXAMPLES, outputs, values
from tests.backend.levels import LEVELS

TORCH = {
    (1, False): functional.conv1d,
    (1, True): functional.conv_transpose1d,
    (2, True): functional.conv_transpose2d,
}
RELAX = {
    (1, False): op.nn.conv1d,
    (1, True): op.nn.conv1d_transpose,
    (2, True): op.nn.conv2d_transpose,
}


@st.composite
def layers(draw):
    """Dimensions, whether transposed, shapes of data and weights, and options as torch has them."""
    kind = n, transposed = draw(st.sampled_from([(1, False), (1, True), (2, True), (2, True)]))
    groups = draw(st.sampled_from([1, 1, 2, 6]))
    inputs, out = (groups * draw(st.sampled_from(c)) for c in ([1, 3, 5, 17], [1, 3, 8, 33]))
    kernel = [draw(st.integers(1, 4)) for _ in range(n)]
    options = {"stride": draw(st.integers(1, 3)), "dilation": draw(st.integers(1, 2))}
    options |= {"padding": draw(st.integers(0, 2)), "groups": groups}
    if transposed:
        most = max(options["stride"], options["dilation"]) - 1
        options["output_padding"] = draw(st.integers(0, most))
        least = -(-(2 * options["padding"] + 1) // options["stride"])
    else:
        least = (max(kernel) - 1) * options["dilation"] + 1
    sizes = [draw(st.integers(least, least + 4)) for _ in range(n)]
    weights = (inputs, out // groups) if transposed else (out, inputs // groups)
    shape = (draw(st.sampled_from([1, 1, 5])), inputs, *sizes)
    return kind, shape, (*weights, *kernel), options


def expected(layer, x, weights):
    kind, _, _, options = layer
    arrays = (torch.from_numpy(a).double() for a in (x, weights))
    return TORCH[kind](*arrays, **options).numpy()


def convolve(layer, weights, bias, out_dtype):
    kind, _, _, options = layer
    names = {"stride": "strides"}
    attrs = {names.get(k, k): v if k == "groups" else (v,) * kind[0] for k, v in options.items()}

    def emit_it(emit, x):
        y = RELAX[kind](x, relax.const(weights), **attrs, out_dtype=out_dtype)
        return emit(op.add(emit(y), relax.const(bias.reshape(-1, *[1] * kind[0]))))

    return emit_it


def check(cases, level, threads, dtype, seed=0):
    rng, calls, results = np.random.default_rng(seed), [], []
    wide = "int32" if dtype == "int8" else dtype
    for layer in cases:
        kind, shape, size, options = layer
        x, weights = values(rng, shape, dtype), values(rng, size, dtype)
        channels = size[1] * options["groups"] if kind[1] else size[0]
        bias = (1000 * rng.normal(size=channels)).astype(wide)
        calls.append((convolve(layer, weights, bias, wide), [x]))
        total = expected(layer, x, weights) + bias.reshape(-1, *[1] * kind[0])
        results.append(total)
    names = ["nn.conv1d", "nn.conv1d_transpose", "nn.conv2d_transpose"]
    for y, total in zip(outputs(calls, level, threads, names), results, strict=True):
        assert y.shape == total.shape
        if dtype == "int8":
            np.testing.assert_array_equal(y, total)
        else:  # float32 sums, none longer than 300 products
            np.testing.assert_allclose(y, total, rtol=0, atol=1e-5 * np.abs(total).max())


@pytest.mark.parametrize("level", LEVELS)
@given(st.lists(layers(), min_size=2, max_size=2), st.sampled_from(["int8", "float32"]))
@EXAMPLES
def test_layers(level, cases, dtype):
    check(cases, level, 2, dtype)


SQUARE = {"stride": 2, "padding": 1, "dilation": 1, "groups": 1, "output_padding": 1}
HARD = {
    "a kernel smaller than the stride leaves zeros": (
        ((2, True), (1, 8, 4, 4), (8, 16, 1, 1), SQUARE | {"stride": 3, "padding": 0})
    ),
    "padding that cuts off whole taps": (
        ((2, True), (1, 3, 5, 4), (3, 5, 3, 3), SQUARE | {"padding": 3, "output_padding": 0})
    ),
    "depthwise": ((2, True), (2, 32, 4, 3), (32, 1, 3, 3), SQUARE | {"groups": 32}),
    "one pixel, one channel, dilation 3": (
        ((2, True), (5, 1, 1, 1), (1, 1, 3, 3), SQUARE | {"dilation": 3})
    ),
}


@pytest.mark.parametrize("level", LEVELS)
def test_hard_layers(level):
    check(list(HARD.values()), level, 1, "int8")


@pytest.mark.parametrize("level", LEVELS)
def test_accumulators_near_the_limit(level):
    """2 ** 15 products of -128 by -128 for each output make 2 ** 29."""
    layer = ((2, True), (1, 2**13, 2, 2), (2**13, 1, 4, 4), SQUARE | {"output_padding": 0})
    x, weights = np.full(layer[1], -128, "int8"), np.full(layer[2], -128, "int8")
    (y,) = outputs([(convolve(layer, weights, np.zeros(1, "int32"), "int32"), [x])], level, 2)
    np.testing.assert_array_equal(y, expected(layer, x, weights))
    assert y.max() == 2**29


@pytest.mark.parametrize("level", LEVELS)
def test_a_decoder_keeps_its_images_channels_last(level):
    """Upsampling behind a convolution: each reads what the other wrote, halo included."""
    rng = np.random.default_rng(1)
    x = values(rng, (1, 17, 5, 4), "int8")
    first, second = values(rng, (17, 5, 4, 4), "int8"), values(rng, (5, 3, 3, 3), "int8")

    def chain(emit, x):
        y = op.nn.conv2d_transpose(x, relax.const(first), (2, 2), (1, 1), out_dtype="int32")
        y = emit(op.right_shift(emit(y), relax.const(9, "int32")))
        y = emit(op.astype(emit(op.clip(y, -128, 127)), "int8"))
        return emit(
            op.nn.conv2d_transpose(y, relax.const(second), (1, 1), (1, 1), out_dtype="int32")
        )

    def transposed(x, w, **options):
        return functional.conv_transpose2d(
            *(torch.from_numpy(a).double() for a in (x, w)), **options
        )

    y = transposed(x, first, stride=2, padding=1).numpy().astype("int64")
    y = transposed((y >> 9).clip(-128, 127), second, padding=1).numpy()
    np.testing.assert_array_equal(outputs([(chain, [x])], level, 2)[0], y)
