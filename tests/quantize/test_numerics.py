"""Exact arithmetic: NumPy against fractions and big integers, compiled operators against NumPy."""

from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tvm import relax

import tvm_book
from tests.quantize.graphs import array, module, run
from tvm_book.quantize import QConfig, ops
from tvm_book.quantize.calibrate import Grid, SetGrids, list_grids
from tvm_book.quantize.numerics import (
    fixed_point,
    fixed_point_multiply,
    quantize_array,
    round_half_away,
)
from tvm_book.quantize.realize import Realize
from tvm_book.quantize.rules.relay._rescale import multiply_fixed_point
from tvm_book.quantize.schemes import scheme_for

BELOW_HALF = float(np.nextafter(np.float32(0.5), np.float32(0)))
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
int32 = st.integers(-(2**31), 2**31 - 1)
factors = st.floats(2.0**-30, 2.0**30, width=32, exclude_min=True)


def round_exactly(x: float) -> int:
    whole, rest = divmod(abs(Fraction(x)), 1)
    rounded = whole + (rest >= Fraction(1, 2))
    return -rounded if x < 0 else rounded


@given(finite)
@example(BELOW_HALF)
@example(-BELOW_HALF)
@example(0.5)
@example(-2.5)
@example(8388607.5)
@example(3.4028234663852886e38)
def test_round_half_away_is_exact(x):
    assert Fraction(float(round_half_away(np.float32([x]))[0])) == round_exactly(x)


@given(st.integers(-(2**21), 2**21))
def test_ties_leave_zero(k):
    tie = np.float32([k + 0.5])  # exact in float32
    assert round_half_away(tie)[0] == (k + 1 if k >= 0 else k)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_round_half_away_keeps_dtype_shape_infinities_and_nan(dtype):
    x = np.array([[np.inf, -np.inf], [np.nan, 1.5]], dtype)
    rounded = round_half_away(x)
    assert rounded.dtype == dtype
    np.testing.assert_array_equal(rounded, [[np.inf, -np.inf], [np.nan, 2]])


@given(
    hnp.arrays("float32", hnp.array_shapes(max_dims=3, max_side=4), elements=finite),
    st.sampled_from([1 / 16, 0.1, 3.0, 2.0**-20]),
    st.integers(2, 16),
)
def test_quantize_array_rounds_the_float32_product_and_then_clips(x, scale, bits):
    top = 2 ** (bits - 1) - 1
    steps = quantize_array(x, scale, -top, top)
    assert (steps.dtype, steps.shape) == (np.float32, x.shape)
    inverse = np.float32(1) / np.float32(scale)
    for value, step in zip(x.reshape(-1), steps.reshape(-1), strict=True):
        with np.errstate(over="ignore"):
            product = value * inverse
        exact = round_exactly(float(product)) if np.isfinite(product) else np.sign(product) * top
        assert step == max(-top, min(top, exact))


def test_quantize_array_clips_after_rounding():
    assert quantize_array(np.float32([127.5, 126.5]), 1.0, -127, 127).tolist() == [127, 127]


@given(factors)
@example(1.0)
@example(float(np.nextafter(np.float32(1), np.float32(0))))
def test_fixed_point_has_31_bits_and_is_exact_for_float32_factors(factor):
    multiplier, exponent = fixed_point(factor)
    assert 2**30 <= multiplier < 2**31
    assert Fraction(multiplier) * Fraction(2) ** (exponent - 31) == Fraction(factor)


def test_fixed_point_carries_a_mantissa_that_rounds_up_to_one():
    assert fixed_point(1 - 2.0**-40) == (2**30, 1)


def multiply_exactly(x: int, factor: float, rounding: str) -> int:
    product = x * Fraction(factor)
    if rounding == "UPWARD":
        return (product + Fraction(1, 2)) // 1
    return round_exactly(product)


@given(int32, st.floats(2.0**-40, 1.0, width=32), st.sampled_from(["UPWARD", "TONEAREST"]))
@example(-(2**31), 2.0**-32, "UPWARD")
@example(2**31 - 1, 2.0**-33, "UPWARD")
@example(-(2**31), 2.0**-33, "TONEAREST")
@example(-(2**31), 2.0**-60, "UPWARD")
@example(-3, 0.5, "UPWARD")
@example(-3, 0.5, "TONEAREST")
@example(-(2**31), 1.0, "TONEAREST")
@example(2**31 - 1, 1.0, "UPWARD")
def test_fixed_point_multiply_shrinks_exactly(x, factor, rounding):
    (y,) = fixed_point_multiply(np.int32([x]), factor, rounding)
    assert y == multiply_exactly(x, factor, rounding)


@given(st.integers(-(2**15), 2**15), st.floats(1.0, 2.0**16, width=32, exclude_max=True))
def test_fixed_point_multiply_grows_exactly(x, factor):
    for rounding in ("UPWARD", "TONEAREST"):
        (y,) = fixed_point_multiply(np.int32([x]), factor, rounding)
        assert y == (multiply_exactly(x, factor, rounding) + 2**31) % 2**32 - 2**31


@given(int32, st.floats(1.0, 2.0**20, width=32))
def test_fixed_point_multiply_wraps_to_32_bits(x, factor):
    (y,) = fixed_point_multiply(np.int32([x]), factor, "UPWARD")
    assert y == (multiply_exactly(x, factor, "UPWARD") + 2**31) % 2**32 - 2**31


@pytest.mark.parametrize("rounding", ["UPWARD", "TONEAREST"])
@pytest.mark.parametrize("dtype", ["int8", "int32"])
def test_emitted_fixed_point_multiplication_has_the_bits_of_numpy(rounding, dtype):
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(0)
    x = rng.integers(limits.min, limits.max, 200, endpoint=True).astype(dtype)
    x[:7] = [limits.min, limits.max, -3, -1, 0, 1, 3]
    factors = np.float32([0.5, 0.999999, 1e-6, 1e-12, 3.0, 1000.7])

    def build(emit, data):
        unused = module(lambda emit, x: x, x=(1,))
        realize = Realize(unused, scheme_for(QConfig()), QConfig(rounding=rounding))
        realize.builder.emit = emit
        return relax.Tuple([multiply_fixed_point(realize, data, factor) for factor in factors])

    products = run(module(build, data=((200,), dtype)), x)
    for product, factor in zip(products, factors, strict=True):
        expected = fixed_point_multiply(x, float(factor), rounding)
        assert product.dtype == expected.dtype == np.int32
        np.testing.assert_array_equal(product, expected)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_compiled_round_half_away_equals_numpy(dtype):
    number = np.dtype(dtype).type
    half = number(0.5)
    near = [np.nextafter(number(k) + half, number(k)) for k in range(4)]
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo(dtype).max, np.finfo(dtype).tiny]
    ties = [k + 0.5 for k in range(200)]
    digits = np.finfo(dtype).nmant  # from 2**nmant on there are only whole numbers
    large = [2.0 ** (digits - 1) - 0.5, 2.0 ** (digits - 1) + 0.5, 2.0**digits - 0.5, 2.0**digits]
    if dtype == "float16":
        large.append(2.0**digits + 1)
    x = np.array([*special, *near, *ties, *large, *array(300, scale=3)], dtype)
    x = np.concatenate([x, -x])
    y = run(module(lambda emit, x: emit(ops.round_half_away(x)), x=(x.shape, dtype)), x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, round_half_away(x))


@pytest.mark.parametrize("scale, bits", [(1 / 16, 8), (0.1, 8), (0.3, 5)])
def test_compiled_simulated_quantize_clips_the_quotient_and_then_rounds(scale, bits):
    top = 2 ** (bits - 1) - 1
    grid = Grid("input", np.float32(scale), np.float32(-top), np.float32(top))
    mod = module(lambda emit, x: emit(ops.simulated_quantize(x, kind="input")), x=(500,))
    mod = SetGrids.as_pass([grid])(mod)
    assert list_grids(mod) == [grid._replace(source="input", shape=(500,))]
    x = array(500, scale=scale * top)
    x[:6] = np.float32([0.5, -0.5, BELOW_HALF, 1e30, -1e30, 0]) * np.float32(scale)
    expected = round_half_away(np.clip(x / np.float32(scale), -top, top)) * np.float32(scale)
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(run(mod, x), expected)


def test_simulated_quantize_without_a_grid_is_the_identity():
    mod = module(lambda emit, x: emit(ops.simulated_quantize(x, kind="input")), x=(50,))
    np.testing.assert_array_equal(run(mod, array(50)), array(50))


@pytest.mark.parametrize(
    "marker", [ops.stop_fusion, ops.barrier, lambda x: ops.cast_hint(x, "int8")]
)
def test_markers_compile_to_nothing(marker):
    mod = module(lambda emit, x: emit(relax.op.add(emit(marker(x)), x)), x=(50,))
    np.testing.assert_array_equal(run(mod, array(50)), array(50) * 2)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2, -4])
def test_bias_add_runs_along_any_axis(axis):
    shape = (2, 3, 4, 5)
    x, b = array(*shape), array(shape[axis], seed=1)
    aligned = [1] * 4
    aligned[axis] = -1
    y = run(module(lambda emit, x: emit(ops.bias_add(x, relax.const(b), axis)), x=shape), x)
    np.testing.assert_array_equal(y, x + b.reshape(aligned))


def test_global_avg_pool2d_divides_the_float_sum():
    x = array(2, 3, 5, 7)
    y = run(module(lambda emit, x: emit(ops.global_avg_pool2d(x)), x=x.shape), x)
    assert y.shape == (2, 3, 1, 1)
    # 35 additions, each off by at most half an ulp of a partial sum
    np.testing.assert_allclose(y, x.mean((2, 3), keepdims=True, dtype="float64"), atol=1e-6)


@cache
def integer_pool():
    shape = (1, 4, 3, 3)
    build = lambda emit, x: emit(ops.global_avg_pool2d(x))  # noqa: E731
    return tvm_book.compile(module(build, x=(shape, "int32")))


@settings(max_examples=20)
@given(hnp.arrays("int32", (1, 4, 3, 3), elements=st.integers(-(2**20), 2**20)))
def test_global_avg_pool2d_truncates_integers_towards_zero(x):
    total = x.sum((2, 3), keepdims=True)
    expected = np.sign(total) * (np.abs(total) // 9)
    np.testing.assert_array_equal(integer_pool()(x), expected)
