"""Sums, means, maxima: equal to NumPy's in 64 bits, for each instruction set of this machine."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op

from tests.backend.kernel_cases import EXAMPLES, outputs, values
from tests.backend.levels import LEVELS

NUMPY = {op.sum: np.sum, op.mean: np.mean, op.max: np.max, op.min: np.min}
NAMES = ["sum", "mean", "max", "min"]


@st.composite
def reductions(draw):
    """Shape, axes, keepdims; the result has an axis."""
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 17, 65]), min_size=1, max_size=4)))
    axes = draw(st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1))
    return shape, axes, draw(st.booleans()) or len(axes) == len(shape)


def reduced(f, axes, keepdims, wide=None):
    def emit_it(emit, x):
        x = emit(op.astype(x, wide)) if wide else x
        return emit(f(x, axes, keepdims))

    return emit_it


@pytest.mark.parametrize("level", LEVELS)
@given(st.lists(reductions(), min_size=4, max_size=4), st.integers(1, 2))
@EXAMPLES
def test_integer_sums_with_the_cast_before_them(level, cases, threads):
    rng = np.random.default_rng(0)
    inputs = [values(rng, shape, "int8") for shape, *_ in cases]
    calls = [
        (reduced(op.sum, axes, keep, "int32"), [x])
        for (_, axes, keep), x in zip(cases, inputs, strict=True)
    ]
    results = outputs(calls, level, threads, ["sum"])
    for y, x, (_, axes, keep) in zip(results, inputs, cases, strict=True):
        assert y.dtype == "int32"
        expected = x.astype("int64").sum(axis=tuple(axes), keepdims=keep)
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("level", LEVELS)
@given(st.lists(reductions(), min_size=3, max_size=3), st.sampled_from(list(NUMPY)))
@EXAMPLES
def test_float(level, cases, f):
    rng = np.random.default_rng(1)
    # Positive, so that an error of rounding is small beside the sum.
    inputs = [
        np.abs(values(rng, shape, "float32")) - (f in (op.max, op.min)) for shape, *_ in cases
    ]
    calls = [
        (reduced(f, axes, keep), [x]) for (_, axes, keep), x in zip(cases, inputs, strict=True)
    ]
    results = outputs(calls, level, 2, NAMES)
    for y, x, (_, axes, keep) in zip(results, inputs, cases, strict=True):
        expected = NUMPY[f](x.astype("float64"), axis=tuple(axes), keepdims=keep)
        np.testing.assert_allclose(y, expected, rtol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_extremes_of_negative_numbers_and_int8(level):
    rng = np.random.default_rng(2)
    x, floats = values(rng, (3, 5, 21), "int8"), -1 - np.abs(values(rng, (3, 5, 21), "float32"))
    floats[0] = -np.inf
    cases = [(reduced(f, [2], False), [a]) for f in (op.max, op.min) for a in (x, floats)]
    results = outputs(cases, level, 1, NAMES)
    expected = [a.max(axis=2) for a in (x, floats)] + [a.min(axis=2) for a in (x, floats)]
    for y, e in zip(results, expected, strict=True):
        np.testing.assert_array_equal(y, e)


@pytest.mark.parametrize("level", LEVELS)
def test_a_cast_that_others_read_too(level):
    x = values(np.random.default_rng(3), (2, 17, 3, 3), "int8")

    def both(emit, x):
        wide = emit(op.astype(x, "int32"))
        total = emit(op.sum(wide, [2, 3], True))
        return emit(op.subtract(emit(op.multiply(wide, relax.const(9, "int32"))), total))

    (y,) = outputs([(both, [x])], level, 2, ["sum"])
    wide = x.astype("int64")
    np.testing.assert_array_equal(y, wide * 9 - wide.sum(axis=(2, 3), keepdims=True))


@pytest.mark.parametrize("level", LEVELS)
def test_large_sums_wrap_nowhere_below_the_limit(level):
    x = np.full((3, 2**15), 2**16 - 1, "int32")
    x[1] *= -1
    (y,) = outputs([(reduced(op.sum, [1], False), [x])], level, 1, ["sum"])
    np.testing.assert_array_equal(y, x.astype("int64").sum(axis=1))


@pytest.mark.parametrize("level", LEVELS)
def test_means_of_images_between_convolutions(level):
    """The sum reads images channels last, and what lies behind 17 channels reaches no result."""
    rng = np.random.default_rng(4)
    x = values(rng, (2, 3, 5, 4), "int8")
    first, second = values(rng, (17, 3, 3, 3), "int8"), values(rng, (5, 17, 1, 1), "int8")

    def chain(emit, x):
        y = emit(op.nn.conv2d(x, relax.const(first), padding=(1, 1), out_dtype="int32"))
        y = emit(op.astype(emit(op.clip(y, -128, 127)), "int8"))
        y = emit(op.sum(emit(op.astype(y, "int32")), [2, 3], True))
        y = emit(op.right_shift(y, relax.const(4, "int32")))
        y = emit(op.astype(emit(op.clip(y, -128, 127)), "int8"))
        return emit(op.nn.conv2d(y, relax.const(second), out_dtype="int32"))

    padded = np.pad(x.astype("int64"), [(0, 0), (0, 0), (1, 1), (1, 1)])
    views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    y = np.einsum("nchwij,ocij->nohw", views, first.astype("int64")).clip(-128, 127)
    y = (y.sum(axis=(2, 3), keepdims=True) >> 4).clip(-128, 127)
    expected = np.einsum("nchw,oc->nohw", y, second[:, :, 0, 0].astype("int64"))
    np.testing.assert_array_equal(outputs([(chain, [x])], level, 2, ["sum"])[0], expected)
