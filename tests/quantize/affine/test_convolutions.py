"""Realized convolutions, compiled, are NumPy's integer arithmetic bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from tests.quantize.affine.integer_layers import (
    GRIDS,
    check_layer,
    convolve,
    draw_steps,
    draw_weight,
    layer_module,
    spread,
)
from tests.quantize.graphs import op_names

CHANNELS = st.sampled_from([1, 3, 5, 17])
few = settings(max_examples=12)
fewer = settings(max_examples=7)


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
