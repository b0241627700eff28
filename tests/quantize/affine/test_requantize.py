"""Requantize: accumulators become narrow, compared with exact rational arithmetic."""

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tvm import IRModule, relax

from tests.quantize.graphs import op_names, run
from tvm_book.quantize import QConfig
from tvm_book.quantize._arithmetic import Arithmetic
from tvm_book.quantize._emitter import Emitter
from tvm_book.quantize.rules.affine.requantize import fixed_point_multipliers, round_to_grid
from tvm_book.quantize.rules.affine.values import Affine, StorageGrid, Term
from tvm_book.testing import integer_reference

HALF = Fraction(1, 2)
INT32 = np.iinfo(np.int32)
SCALES = st.floats(1e-9, 1e6)
ACCUMULATORS = st.one_of(
    st.integers(INT32.min, INT32.max),
    st.integers(-300, 300),
    st.sampled_from([INT32.min, INT32.min + 1, -1, 0, 1, INT32.max - 1, INT32.max]),
)
# a zero point at each end, and an offset as a layer's bias leaves it
CONSTANTS = st.one_of(st.sampled_from([-128.0, 0.0, 127.0]), st.floats(-1e6, 1e6))


def exactly(x, multipliers, constant):
    """Return ``sum(x * m) + constant`` as a fraction; floats are fractions."""
    products = (int(n) * Fraction(float(m)) for n, m in zip(x, multipliers, strict=True))
    return sum(products, Fraction(float(constant)))


def in_python(x, numbers, constant, shift):
    """Return what the integer chain computes, and the largest magnitude on the way."""
    total, largest = 0, 0
    for n, number in zip(x, numbers, strict=True):
        total += n * int(number)
        largest = max(largest, abs(n * int(number)), abs(total))
    total += int(constant)
    return total >> shift, max(largest, abs(int(constant)), abs(total))


@given(
    st.lists(st.tuples(SCALES, st.sampled_from([-1, 1]), ACCUMULATORS), min_size=1, max_size=3),
    CONSTANTS,
)
def test_integer_multipliers_round_as_exact_numbers_do(terms, constant):
    multipliers = [np.float64(scale * sign) for scale, sign, _ in terms]
    x = [value for _, _, value in terms]
    numbers, added, shift = fixed_point_multipliers(multipliers, np.float64(constant))
    result, largest = in_python(x, numbers, added, shift)
    assert shift >= 1
    assert largest < 2**63
    assert max(abs(int(number)) for number in numbers) <= 2**30 // len(numbers)
    # half a step by rounding, and half a unit in the last bit of each multiplier and the constant
    bound = HALF + Fraction(sum(map(abs, x)) + 1, 2 ** (shift + 1))
    assert abs(result - exactly(x, multipliers, constant)) <= bound


@given(st.floats(1e-7, 0.99), st.integers(-(2**20), 2**20), st.integers(-128, 127))
def test_a_layers_result_is_the_nearest_step(multiplier, x, zero_point):
    """Less than 2**-20 of a step beyond half a step off, where the result is not clipped."""
    numbers, added, shift = fixed_point_multipliers(
        [np.float64(multiplier)], np.float64(zero_point)
    )
    exact = exactly([x], [multiplier], zero_point)
    if abs(exact) <= 256:
        result, _ = in_python([x], numbers, added, shift)
        # n has 30 bits: m is right to 2**-30 of itself, and |x m| is at most 256 + 128
        assert abs(result - exact) <= HALF + Fraction(385, 2**30)


@given(st.integers(INT32.min, INT32.max), st.integers(1, 40))
def test_ties_round_up(x, bits):
    numbers, added, shift = fixed_point_multipliers([np.ldexp(1.0, -bits)], np.float64(0))
    result, _ = in_python([x], numbers, added, shift)
    assert result == math.floor(Fraction(x, 2**bits) + HALF)


@given(st.lists(st.floats(1e-9, 1e6), min_size=2, max_size=5), ACCUMULATORS)
def test_tiny_channels_beside_huge_ones_share_the_shift(scales, x):
    multipliers = np.asarray(scales).reshape(-1, 1, 1)
    numbers, added, shift = fixed_point_multipliers([multipliers], np.float64(-128))
    for m, number in zip(scales, numbers[0].ravel(), strict=True):
        result, largest = in_python([x], [number], added, shift)
        assert largest < 2**63
        bound = HALF + Fraction(abs(x) + 1, 2 ** (shift + 1))
        assert abs(result - exactly([x], [m], -128)) <= bound


@pytest.mark.parametrize("multiplier", [0.0, 1e-300, 1e-30, 1e9, 1e30])
@pytest.mark.parametrize("x", [INT32.min, -1, 0, 1, INT32.max])
def test_multipliers_beyond_reach_saturate(multiplier, x):
    numbers, added, shift = fixed_point_multipliers([np.float64(multiplier)], np.float64(3))
    result, largest = in_python([x], numbers, added, shift)
    assert shift >= 1 and largest < 2**63
    expected = exactly([x], [multiplier], 3)
    assert np.clip(result, -128, 127) == min(max(math.floor(expected + HALF), -128), 127)


def test_a_constant_beyond_reach_saturates():
    for constant in (1e30, -1e30):
        numbers, added, shift = fixed_point_multipliers([np.float64(0.1)], np.float64(constant))
        result, largest = in_python([1000], numbers, added, shift)
        assert shift >= 1 and largest < 2**63
        assert abs(result) > 2**30 and (result > 0) == (constant > 0)


# the chain of operators


def chain(terms, grid, offset=0.0, low=-math.inf, high=math.inf, **options):
    """Make ``main(x0, x1, ...)`` that rounds a sum of (shape, dtype, scale, zero point)."""
    emitter = Emitter()
    config = QConfig(preset="accurate", **options)
    pass_ = SimpleNamespace(arith=Arithmetic(emitter), config=config, builder=emitter)
    params = [
        relax.Var(f"x{i}", relax.TensorType(shape, dtype))
        for i, (shape, dtype, _, _) in enumerate(terms)
    ]
    value = Affine(
        tuple(
            Term(param, np.asarray(scale, np.float64), np.asarray(zero_point, np.float64))
            for param, (_, _, scale, zero_point) in zip(params, terms, strict=True)
        ),
        np.asarray(offset, np.float64),
        low,
        high,
    )
    result = round_to_grid(pass_, value, grid).terms[0].expr
    return IRModule({"main": emitter.function(params, result, {"global_symbol": "main"})})


def grid_of(scale, zero_point=0, low=-128, high=127):
    return StorageGrid(np.float64(scale), zero_point, low, high)


def real_steps(x, terms, grid, offset=0.0):
    """Return the exact results before rounding, in steps of the grid: an array of fractions."""
    total = np.full(np.broadcast_shapes(*(np.shape(part) for part in x)), Fraction(0), object)
    total = total + np.vectorize(Fraction)(np.asarray(offset, np.float64) / grid.scale)
    for part, (_, _, scale, zero_point) in zip(x, terms, strict=True):
        exact = np.vectorize(lambda n: Fraction(int(n)))(part)
        shift = np.vectorize(Fraction)(np.asarray(zero_point, np.float64))
        factor = np.vectorize(Fraction)(np.asarray(scale, np.float64) / grid.scale)
        total = total + (exact - shift) * factor
    return total + grid.zero_point


CHAINS = {
    "one term": ([((64, 3), "int32", 3e-4, 0)], grid_of(0.05)),
    "per channel": ([((16, 4, 4), "int32", np.array([[1e-5], [3e-4], [2e-3], [0.02]]), 0)], None),
    "zero points": ([((64, 3), "int32", 3e-4, np.array([5.0, -900, 77]))], grid_of(0.05, -128)),
    "two terms": (
        [((64, 3), "int32", 3e-4, 7), ((64, 3), "int8", 0.031, -128)],
        grid_of(0.05, 127),
    ),
    "int8": ([((64, 3), "int8", 0.031, -128)], grid_of(0.05, -3)),
    "negative": ([((64, 3), "int32", -3e-4, 0)], grid_of(0.05, -128)),
    "nbit 4": ([((64, 3), "int32", 3e-4, 0)], grid_of(0.05, -120, -128, -113)),
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("requantize", ["fixed_point", "float"])
def test_chain_is_the_nearest_step(name, requantize):
    """The compiled chain errs, beyond half a step, by no more than its numbers' last bits.

    Float32: results that are not clipped lie below 2**8 steps, and multiplier, product and sum are
    each rounded to 2**-24 of that. Fixed point: multipliers count in 2**-29 or finer,
    half of which times 20000 is below 2**-15.
    """
    terms, grid = CHAINS[name]
    grid = grid or grid_of(0.05)
    rng = np.random.default_rng(0)
    x = [
        rng.integers(-128, 128, shape).astype("int8")
        if dtype == "int8"
        else rng.integers(-20000, 20000, shape).astype("int32")
        for shape, dtype, _, _ in terms
    ]
    offset = -0.7
    mod = chain(terms, grid, offset, requantize=requantize)
    result = run(mod, *x)
    assert result.dtype == np.int8
    exact = real_steps(x, terms, grid, offset)
    slack = Fraction(1, 2**14) if requantize == "float" else Fraction(1, 2**15)
    clipped = np.clip(exact, grid.low, grid.high)
    assert np.abs(result.astype(object) - clipped).max() <= HALF + slack
    assert len(np.unique(result)) > 8


@given(
    SCALES,
    st.floats(1e-3, 1e3),
    st.sampled_from([(-128, -128, 127), (127, -128, 127), (0, -127, 127), (-8, -8, 7)]),
    st.lists(ACCUMULATORS, min_size=1, max_size=8),
)
def test_fixed_point_chain_near_the_limits_of_int32(scale, step, ends, values):
    zero_point, low, high = ends
    grid = grid_of(step, zero_point, low, high)
    x = np.asarray(values, np.int32)
    terms = [(x.shape, "int32", scale, 0)]
    result = integer_reference(chain(terms, grid), x)
    exact = real_steps([x], terms, grid)
    # 30 bits of the multiplier: half of 2**-29 relative; where it is beyond 2**29, all saturates
    bound = [
        HALF + abs(value - zero_point) * Fraction(1, 2**30) + Fraction(1, 2**30) for value in exact
    ]
    for got, value, slack in zip(result, exact, bound, strict=True):
        wanted = min(max(value, Fraction(low)), Fraction(high))
        assert abs(int(got) - wanted) <= slack


def test_chain_of_operators():
    one = chain([((4,), "int32", 0.3, 0)], grid_of(1.0))
    assert op_names(one) == ["astype", "multiply", "add", "right_shift", "clip", "astype"]
    two = chain([((4,), "int32", 0.3, 0), ((4,), "int8", 0.2, 0)], grid_of(1.0))
    assert op_names(two) == ["astype", "multiply"] * 2 + [
        "add", "add", "right_shift", "clip", "astype",
    ]  # fmt: skip
    floats = chain([((4,), "int32", 0.3, 0)], grid_of(1.0), requantize="float")
    assert op_names(floats) == ["astype", "multiply", "add", "round", "clip", "astype"]


def test_a_value_on_the_grid_is_not_computed():
    terms = [((4,), "int8", 0.25, -128)]
    assert op_names(chain(terms, grid_of(0.25, -128))) == []
    assert op_names(chain(terms, grid_of(0.25, -128), low=0.0, high=6.0)) == ["clip"]


@pytest.mark.parametrize("requantize", ["fixed_point", "float"])
def test_limits_of_a_value_are_applied_on_the_grid(requantize):
    """ReLU6 on a grid of 0.05 from -128: steps 0 and 120 above the zero point."""
    terms = [((9,), "int32", 0.5, 0)]
    mod = chain(terms, grid_of(0.05, -128), low=0.0, high=6.0, requantize=requantize)
    x = np.array([-20, -1, 0, 1, 2, 11, 12, 13, 20], "int32")
    expected = np.array([0, 0, 0, 10, 20, 110, 120, 120, 120]) - 128
    np.testing.assert_array_equal(run(mod, x), expected)
