"""The metrics against exact references, their edge cases, and what they promise about memory."""

from __future__ import annotations

import ast
import math
import subprocess
import sys
import tracemalloc
import warnings
from fractions import Fraction
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
import tvm
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tvm_book.testing as testing
from tvm_book.testing import _stream
from tvm_book.testing.metric import (
    cosine_similarity,
    l2_loss,
    max_abs_error,
    mean_abs_error,
    relative_l2,
    sqnr_db,
    top_k_agreement,
)

METRICS = [
    cosine_similarity,
    l2_loss,
    max_abs_error,
    mean_abs_error,
    relative_l2,
    sqnr_db,
    top_k_agreement,
]
ROOT = Path(testing.__file__).parents[2]

# One rounding each for product, sum (pairwise or fsum), quotient and root: 8 ulp bound every chain
# of them over the few elements that hypothesis draws.
ULPS = 8 * sys.float_info.epsilon

# Magnitudes whose squares are normal numbers, so that the references below may square them.
numbers = st.floats(-1e100, 1e100).filter(lambda v: v == 0 or abs(v) > 1e-100)


def arrays(count: int, elements: st.SearchStrategy = numbers) -> st.SearchStrategy:
    """`count` arrays of one shape."""
    shapes = hnp.array_shapes(max_dims=3, max_side=5)
    draw = lambda shape: st.tuples(*[hnp.arrays(np.float64, shape, elements=elements)] * count)  # noqa: E731
    return shapes.flatmap(draw)


def exact(values: np.ndarray) -> list[Fraction]:
    return [Fraction(float(value)) for value in values.ravel()]


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(_stream, "PIECE", 3)


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# --- values -----------------------------------------------------------------------------------


@given(arrays(2))
def test_errors_equal_exact_arithmetic_on_the_rounded_differences(pair):
    a, b = pair
    errors = exact(a - b)
    squares = sum(e * e for e in errors)
    assert l2_loss(a, b, "sum") == pytest.approx(float(squares), rel=ULPS, abs=0)
    assert l2_loss(a, b) == pytest.approx(float(squares / a.size), rel=ULPS, abs=0)
    mean = sum(map(abs, errors)) / a.size
    assert mean_abs_error(a, b) == pytest.approx(float(mean), rel=ULPS, abs=0)
    assert max_abs_error(a, b) == float(max(map(abs, errors)))
    np.testing.assert_array_equal(l2_loss(a, b, "none"), (a - b) ** 2)


@given(arrays(2))
def test_cosine_equals_exact_arithmetic(pair):
    a, b = pair
    assume(a.any() and b.any())
    x, y = exact(a), exact(b)
    dot = sum(p * q for p, q in zip(x, y, strict=True))
    norms = sum(p * p for p in x) * sum(q * q for q in y)
    expected = math.copysign(math.sqrt(dot * dot / norms), dot)
    # Absolute: the terms of a small dot product cancel, and their rounding errors stay.
    assert cosine_similarity(a, b) == pytest.approx(expected, rel=0, abs=2 * ULPS)


@given(arrays(2))
def test_ratios_equal_exact_arithmetic_and_each_other(pair):
    ref, test = pair
    noise = sum(e * e for e in exact(ref - test))
    signal = sum(r * r for r in exact(ref))
    assume(noise and signal)
    ratio = math.sqrt(noise / signal)
    assert relative_l2(ref, test) == pytest.approx(ratio, rel=ULPS, abs=0)
    # dB are a logarithm: its argument's relative error becomes an absolute one, times 20 / ln 10.
    expected = -20 * math.log10(ratio)
    assert sqnr_db(ref, test) == pytest.approx(expected, rel=ULPS, abs=20 * ULPS)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_l2_loss_is_mse_loss_of_torch(reduction):
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(4, 5, 6, dtype=torch.float64, generator=generator)
    b = torch.randn(4, 5, 6, dtype=torch.float64, generator=generator)
    expected = torch.nn.functional.mse_loss(a, b, reduction=reduction).numpy()
    # torch adds the 120 squares in another order: a few ulp.
    np.testing.assert_allclose(l2_loss(a, b, reduction), expected, rtol=2 * ULPS, atol=0)


def test_one_bit_more_is_worth_six_decibels():
    signal = np.random.default_rng(3).uniform(-1, 1, 100_000)
    values = [sqnr_db(signal, np.round(signal * 2**bits) / 2**bits) for bits in (6, 7, 8)]
    # The noise power of 1e5 samples is known to 0.3 % (one sigma), or 0.012 dB: five sigma.
    assert np.diff(values) == pytest.approx(20 * math.log10(2), abs=0.06)


def test_results_are_python_floats():
    for metric in METRICS:
        assert type(metric(np.float32([1, 2]), np.float32([1, 3]))) is float
    none = l2_loss([[1, 2]], [[3, 4]], reduction="none")
    assert (none.dtype, none.shape) == (np.float64, (1, 2))


# --- properties -------------------------------------------------------------------------------


@given(arrays(2))
def test_symmetric_to_the_last_bit(pair):
    a, b = pair
    for metric in (cosine_similarity, l2_loss, max_abs_error, mean_abs_error, top_k_agreement):
        assert metric(a, b) == metric(b, a)


@given(arrays(2), st.integers(-500, 500))
def test_ratios_do_not_see_a_common_power_of_two(pair, exponent):
    a, b = pair
    assume(a.any())
    x, y = np.ldexp(a, exponent), np.ldexp(b, exponent)
    # Elements may be rescaled or not, which regroups no sum: equal but for the logarithm's offset.
    assert relative_l2(x, y) == pytest.approx(relative_l2(a, b), rel=ULPS, abs=0)
    assert sqnr_db(x, y) == pytest.approx(sqnr_db(a, b), rel=ULPS, abs=1e-12)
    assert cosine_similarity(x, b) == pytest.approx(cosine_similarity(a, b), rel=0, abs=ULPS)


@given(arrays(2), st.floats(1e-3, 1e3))
def test_cosine_does_not_see_a_positive_factor(pair, factor):
    a, b = pair
    # The rounded products are each half an ulp off, in their own direction.
    expected = cosine_similarity(a, b)
    assert cosine_similarity(factor * a, b) == pytest.approx(expected, rel=0, abs=2 * ULPS)
    assert cosine_similarity(-a, b) == (expected if not a.any() else -expected)


@given(arrays(2, st.floats(allow_nan=False, allow_infinity=False)))
def test_bounds_hold_for_all_finite_numbers(pair):
    a, b = pair
    assert -1 <= cosine_similarity(a, b) <= 1
    assert 0 <= mean_abs_error(a, b) <= max_abs_error(a, b) * (1 + ULPS)
    # Jensen: the mean square is at least the square of the mean. Squares of errors below 1e-162
    # vanish in float64.
    assert mean_abs_error(a, b) <= math.sqrt(l2_loss(a, b)) * (1 + ULPS) + 1e-160
    assert relative_l2(a, b) >= 0
    assert 0 <= top_k_agreement(a, b) <= 1


@given(arrays(1, st.floats(allow_nan=False, allow_infinity=False)))
def test_an_array_agrees_with_itself_exactly(single):
    (a,) = single
    assert cosine_similarity(a, a.copy(order="F")) == 1.0
    assert cosine_similarity(a, -a) == (-1.0 if a.any() else 1.0)
    assert l2_loss(a, a) == max_abs_error(a, a) == mean_abs_error(a, a) == relative_l2(a, a) == 0.0
    assert sqnr_db(a, a) == math.inf
    assert top_k_agreement(a, a) == 1.0


@given(arrays(3))
def test_triangle_inequalities(triple):
    a, b, c = triple

    def distances(metric):
        return metric(a, c), metric(a, b) + metric(b, c)

    for metric in (max_abs_error, mean_abs_error, lambda x, y: math.sqrt(l2_loss(x, y, "sum"))):
        direct, detour = distances(metric)
        assert direct <= detour * (1 + 2 * ULPS)


# --- magnitudes -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-200, 1e-80, 1.0, 1e80, 1e200, 8e307])
def test_ratios_at_any_magnitude(size):
    a, b = np.array([size, 0.0]), np.array([size, size])
    assert cosine_similarity(a, b) == pytest.approx(math.sqrt(0.5), rel=ULPS)
    assert relative_l2(a, b) == 1.0
    assert str(sqnr_db(a, b)) == "0.0"  # not -0.0


def test_ratios_of_arrays_that_span_all_magnitudes(small_pieces):
    a = np.array([1e-200, 1e-300, 0, 0, 0, 0, 1.0, 2, 2, 3e200, 0, 0, 4e200, 1e-200, 0])
    assert cosine_similarity(a, a[::-1].copy()[::-1]) == 1.0
    assert cosine_similarity(a, np.where(a > 1e199, 1e-250, 0)) == pytest.approx(
        7 / (5 * math.sqrt(2)), rel=ULPS
    )
    assert relative_l2(a, a / 2) == 0.5
    assert relative_l2(a[:9], np.zeros(9)) == 1.0
    assert relative_l2(a, np.where(a > 3.5e200, 0, a)) == pytest.approx(0.8, rel=ULPS)


def test_opposite_vectors_whose_difference_overflows():
    a = np.array([1.7e308, 0])
    assert relative_l2(a, -a) == 2.0
    assert sqnr_db(a, -a) == pytest.approx(-20 * math.log10(2), rel=ULPS)
    assert mean_abs_error(a, -a) == 1.7e308
    assert max_abs_error(a, -a) == math.inf


def test_only_a_result_beyond_float64_is_infinite():
    assert mean_abs_error(np.full(100, 1e308), np.zeros(100)) == pytest.approx(1e308, rel=ULPS)
    assert l2_loss(np.full(100, 1e154), np.zeros(100)) == pytest.approx(1e308, rel=ULPS)
    assert l2_loss([1e200], [0]) == math.inf
    assert l2_loss([1e200], [0], "none")[0] == math.inf


# --- zero, NaN, infinity ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "both_zero", "first_zero", "second_zero"),
    [
        (cosine_similarity, 1.0, 0.0, 0.0),
        (l2_loss, 0.0, 12.5, 12.5),
        (max_abs_error, 0.0, 4.0, 4.0),
        (mean_abs_error, 0.0, 3.5, 3.5),
        (relative_l2, 0.0, math.inf, 1.0),
        (sqnr_db, math.inf, -math.inf, 0.0),
        (top_k_agreement, 1.0, 0.0, 0.0),  # zeros tie: class 0, against class 1
    ],
)
def test_zero_vectors(metric, both_zero, first_zero, second_zero):
    zero, other = np.zeros(2), np.array([3.0, 4.0])
    assert metric(zero, zero) == both_zero
    assert metric(zero, other) == first_zero
    assert metric(other, zero) == second_zero


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("position", [0, 4, 6])
def test_nan_in_any_piece_of_either_array_gives_nan(metric, position, small_pieces):
    good, bad = np.arange(1.0, 8.0), np.arange(1.0, 8.0)
    bad[position] = np.nan
    assert math.isnan(metric(good, bad))
    assert math.isnan(metric(bad, good))
    assert math.isnan(metric(bad, bad))
    bad[(position + 3) % 7] = np.inf
    assert math.isnan(metric(bad, good))


@pytest.mark.parametrize(
    ("metric", "first_infinite", "second_infinite"),
    [
        (cosine_similarity, math.nan, math.nan),
        (l2_loss, math.inf, math.inf),
        (max_abs_error, math.inf, math.inf),
        (mean_abs_error, math.inf, math.inf),
        (relative_l2, math.nan, math.inf),
        (sqnr_db, math.nan, -math.inf),
        (top_k_agreement, 0.0, 0.0),
    ],
)
def test_infinity_follows_ieee(metric, first_infinite, second_infinite):
    finite, infinite = np.array([1.0, 2.0]), np.array([np.inf, 2.0])
    assert metric(infinite, finite) == pytest.approx(first_infinite, nan_ok=True)
    assert metric(finite, infinite) == pytest.approx(second_infinite, nan_ok=True)
    same = 1.0 if metric is top_k_agreement else math.nan  # inf - inf is NaN; an order is not
    assert metric(infinite, infinite) == pytest.approx(same, nan_ok=True)


def test_infinities_of_both_signs_in_different_pieces(monkeypatch):
    monkeypatch.setattr(_stream, "PIECE", 1)
    assert math.isnan(cosine_similarity([math.inf, -math.inf], [1, 1]))
    assert l2_loss([math.inf, -math.inf], [1, 1]) == math.inf


def test_squared_errors_show_where_nan_and_infinity_are():
    result = l2_loss([np.nan, np.inf, np.inf, 1.0], [1.0, np.inf, 1.0, 3.0], "none")
    np.testing.assert_array_equal(result, [np.nan, np.nan, np.inf, 4.0])


# --- dtypes and libraries ---------------------------------------------------------------------


def test_narrow_integers_do_not_wrap():
    low, high = np.array([-128, 0], np.int8), np.array([127, 0], np.int8)
    assert max_abs_error(low, high) == 255.0
    assert l2_loss(low, high, "sum") == 255.0**2
    assert mean_abs_error(np.uint8([0, 1]), np.uint8([255, 0])) == 128.0
    assert cosine_similarity(low, low) == 1.0
    big = np.array([2**62, 0], np.int64)
    assert max_abs_error(big, -big) == 2.0**63
    assert l2_loss([True, True], [False, True]) == 0.5


NUMPY_DTYPES = [
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"),
    *("float16", "float32", "float64", "longdouble", ">f4", ">i2"),
    *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4),
]
LEFT, RIGHT = np.array([[1, 0, 1], [0, 1, 1]]), np.array([[0, 0, 1], [1, 1, 1]])


@pytest.mark.parametrize("dtype", NUMPY_DTYPES, ids=str)
@pytest.mark.parametrize("metric", METRICS)
def test_numpy_of_any_dtype(metric, dtype):
    expected = metric(LEFT.astype(np.float64), RIGHT.astype(np.float64))
    assert metric(LEFT.astype(dtype), RIGHT.astype(dtype)) == expected
    assert metric(LEFT.astype(dtype), RIGHT.tolist()) == expected
    assert metric(LEFT.tolist(), RIGHT.astype(dtype)) == expected


TORCH_DTYPES = [
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.bool),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn),
]


@pytest.mark.parametrize("dtype", TORCH_DTYPES, ids=str)
@pytest.mark.parametrize("metric", METRICS)
def test_torch_of_any_dtype(metric, dtype):
    expected = metric(LEFT.astype(np.float64), RIGHT.astype(np.float64))
    a, b = torch.tensor(LEFT).to(dtype), torch.tensor(RIGHT).to(dtype)
    assert metric(a, b) == expected
    assert metric(a, RIGHT) == expected
    assert metric(LEFT, b) == expected


TVM_DTYPES = ["int8", "uint8", "int32", "int64", "bool", "float16", "float32", "float64"]


@pytest.mark.parametrize("dtype", [*TVM_DTYPES, ml_dtypes.bfloat16], ids=str)
@pytest.mark.parametrize("metric", METRICS)
def test_tvm_of_any_dtype(metric, dtype):
    expected = metric(LEFT.astype(np.float64), RIGHT.astype(np.float64))
    a, b = tvm.runtime.tensor(LEFT.astype(dtype)), tvm.runtime.tensor(RIGHT.astype(dtype))
    assert metric(a, b) == expected
    assert metric(a, torch.tensor(RIGHT)) == expected


@given(hnp.arrays(np.uint16, 20))
def test_every_bfloat16_is_read_exactly(bits):
    tensor = torch.from_numpy(bits.copy().view(np.int16)).view(torch.bfloat16)
    assert tensor.dtype == torch.bfloat16
    # float16 zeros, so that the differences are the elements themselves
    read = l2_loss(tensor, np.zeros(20, np.float16), "none")
    with np.errstate(invalid="ignore"):  # signalling NaN among the bits
        wide = tensor.double().numpy()
        np.testing.assert_array_equal(read, wide * wide)
        typed = l2_loss(bits.view(ml_dtypes.bfloat16), np.zeros(20), "none")
        np.testing.assert_array_equal(typed, wide * wide)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_gradients_and_strides_change_nothing(dtype, small_pieces):
    generator = torch.Generator().manual_seed(1)
    a = torch.randn(4, 6, 5, generator=generator).to(dtype)
    b = torch.randn(4, 6, 5, generator=generator).to(dtype)
    for metric in METRICS:
        for view in (lambda t: t.permute(2, 0, 1), lambda t: t[:, ::2, 1:4]):
            x, y = view(a), view(b)
            expected = metric(x.double().contiguous(), y.double().contiguous())
            strided = metric(x.clone(memory_format=torch.preserve_format).requires_grad_(), y)
            # Pieces end elsewhere for other strides, so that sums round in other places.
            assert strided == pytest.approx(expected, rel=2 * ULPS)


@pytest.mark.parametrize("view", [np.asfortranarray, lambda x: x[::-1], lambda x: x[:, ::2].T])
def test_squared_errors_stay_in_place_for_any_strides(view, small_pieces):
    a, b = np.random.default_rng(4).normal(size=(2, 4, 6, 5))
    expected = (view(a) - view(b)) ** 2
    np.testing.assert_array_equal(l2_loss(view(a), view(b), "none"), expected)
    np.testing.assert_array_equal(l2_loss(view(a).copy(), view(b), "none"), expected)


def test_scalars():
    assert l2_loss(3, 5.0) == 4.0
    assert cosine_similarity(2, -3) == -1.0
    assert l2_loss(torch.tensor(3), np.float32(5), "none").shape == ()


def test_inputs_are_left_alone():
    a, b = np.array([3e300, 1]), torch.tensor([1.0, 2.0], requires_grad=True)
    a.flags.writeable = False
    for metric in METRICS:
        metric(a, b)
    assert a.tolist() == [3e300, 1] and b.tolist() == [1.0, 2.0] and b.grad is None


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("first", "second"), [((2, 3), (3, 2)), ((2, 3), (3,)), ((), (1,))])
def test_shape_mismatch_names_both_shapes(metric, first, second):
    with pytest.raises(ValueError) as caught:
        metric(np.ones(first), np.ones(second))
    assert str(first) in str(caught.value) and str(second) in str(caught.value)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3)])
def test_empty_arrays_are_refused(metric, shape):
    with pytest.raises(ValueError, match="empty"):
        metric(np.ones(shape), torch.ones(shape))


NOT_NUMBERS = {
    "complex": np.ones(2, complex),
    "complex torch": torch.ones(2, dtype=torch.complex64),
    "complex list": [1j, 2],
    "text": "ab",
    "none": None,
    "ragged": [[1, 2], [3]],
    "huge integers": [2**70, 1],
    "dates": np.array(["2020-01-01"], "M8[D]"),
    "sparse": torch.ones(2).to_sparse(),
    "several outputs": [tvm.runtime.tensor(np.ones(2)), tvm.runtime.tensor(np.ones(2))],
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("value", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_what_is_no_array_of_real_numbers_is_a_type_error(metric, value):
    with pytest.raises(TypeError, match="pass"):
        metric(value, value)


def test_unknown_reduction_names_the_choices():
    with pytest.raises(ValueError, match="'avg'.*'mean', 'sum' or 'none'"):
        l2_loss([1], [1], reduction="avg")


# --- top_k_agreement --------------------------------------------------------------------------


def top_k_sets(scores: np.ndarray, k: int) -> list[set[int]]:
    """Slow and plain: Python's sort is stable, so that lower indices win ties."""
    rows = scores.reshape(-1, scores.shape[-1]).tolist()
    return [set(sorted(range(len(row)), key=lambda i, r=row: -r[i])[:k]) for row in rows]


few_values = st.sampled_from([-math.inf, -1.0, 0.0, 1.0, math.inf])


@given(arrays(2, few_values), st.data())
def test_top_k_equals_sets_of_sorted_indices(pair, data):
    a, b = pair
    k = data.draw(st.integers(1, a.shape[-1]))
    sets = list(zip(top_k_sets(a, k), top_k_sets(b, k), strict=True))
    expected = sum(len(p & q) for p, q in sets) / (k * len(sets))
    assert top_k_agreement(a, b, k) == expected
    as_columns = [np.asfortranarray(x) for x in pair]
    assert top_k_agreement(*as_columns, k) == expected


def test_top_1_is_argmax_over_many_blocks_of_rows():
    random = np.random.default_rng(0)
    a, b = random.integers(0, 4, (2, 30, 100, 40)).astype(np.int8)
    assert a.size > _stream.PIECE
    expected = np.mean(a.argmax(-1) == b.argmax(-1))
    assert top_k_agreement(a, b) == expected
    assert top_k_agreement(torch.tensor(a).bfloat16(), b) == expected
    assert top_k_agreement(a, b, k=np.int64(40)) == 1.0


@pytest.mark.parametrize("k", [0, -1, 4])
def test_k_out_of_range(k):
    with pytest.raises(ValueError, match=f"k={k} is out of range: give 1 to 3"):
        top_k_agreement(np.ones((2, 3)), np.ones((2, 3)), k)


def test_k_must_be_an_integer_and_scores_need_an_axis():
    with pytest.raises(TypeError, match="give an integer"):
        top_k_agreement([1, 2], [1, 2], 1.0)
    with pytest.raises(ValueError, match="last axis"):
        top_k_agreement(1, 2)


# --- large arrays -----------------------------------------------------------------------------

SIZE = 20_000_000
LIMIT = 8_000_000  # bytes; one float64 copy would be 160 MB, one of float32 80 MB


def large(kind: str) -> tuple[np.ndarray, np.ndarray]:
    a = np.ones((SIZE // 1000, 1000), np.int8 if kind == "int8" else np.float32)
    a[::3] = 2
    b = a.copy()
    b[1::5] = 4
    return (a.T, b.T) if kind == "transposed" else (a, b)


@pytest.mark.parametrize("kind", ["float32", "int8", "transposed", "tvm"])
def test_large_arrays_need_little_memory_and_lose_no_digit(kind):
    a, b = large(kind)
    inputs = (tvm.runtime.tensor(a), tvm.runtime.tensor(b)) if kind == "tvm" else (a, b)
    squares = 9 * np.count_nonzero(b - a == 3) + 4 * np.count_nonzero(b - a == 2)
    tracemalloc.start()
    try:
        measured = {metric: metric(*inputs) for metric in METRICS}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < LIMIT
    # Small integers: every sum is exact in float64, whatever the pieces.
    assert measured[l2_loss] == squares / SIZE
    assert measured[max_abs_error] == 3.0
    assert measured[relative_l2] == math.sqrt(squares / (SIZE + 3 * np.count_nonzero(a == 2)))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for VmHWM")
def test_large_bfloat16_needs_little_memory():
    # torch's memory is invisible to tracemalloc: ask the kernel, in a process with a clean record
    # (getrusage would not do: its peak includes that of the process before exec).
    script = f"""
import re, torch
from tvm_book.testing import metric
a = torch.empty({SIZE // 1000}, 1000, dtype=torch.bfloat16).fill_(1)
b = torch.empty({SIZE // 1000}, 1000, dtype=torch.bfloat16).fill_(3)
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
small = [getattr(metric, name)(a[:100], b[:100]) for name in metric.__all__]  # warm up
before = peak()
assert small == [getattr(metric, name)(a, b) for name in metric.__all__], small
assert small == [getattr(metric, name)(a.T, b.T) for name in metric.__all__], small
print(peak() - before)
"""
    kibibytes = int(run(script))
    assert kibibytes * 1024 < LIMIT


def test_small_pieces_are_not_lost_beside_a_large_one(monkeypatch):
    monkeypatch.setattr(_stream, "PIECE", 1)
    errors = np.full(1025, 2.0**-27)
    errors[0] = 1  # 1 + 2**-54 is 1 in float64: added one by one, the others would vanish
    assert l2_loss(errors, np.zeros(1025), "sum") == 1 + 2.0**-44


@pytest.mark.parametrize("piece", [1, 7, 1000, 10**6])
def test_the_size_of_a_piece_does_not_show(piece, monkeypatch):
    random = np.random.default_rng(2)
    a, b = random.normal(size=(2, 30, 100)).astype(np.float32)
    whole = [metric(a, b) for metric in METRICS]
    monkeypatch.setattr(_stream, "PIECE", piece)
    # NumPy's pairwise sum of one piece errs by a few ulp; the sum over pieces is exactly rounded.
    assert [metric(a, b) for metric in METRICS] == pytest.approx(whole, rel=ULPS, abs=0)
    expected = (a.astype(np.float64) - b.astype(np.float64)) ** 2
    np.testing.assert_array_equal(l2_loss(a, b, "none"), expected)


# --- the room ---------------------------------------------------------------------------------


def run(script: str) -> str:
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_works_without_torch():
    result = run(
        "import sys; sys.modules['torch'] = None\n"
        "from tvm_book.testing import l2_loss\n"
        "print(l2_loss([1, 2], [1, 4]))"
    )
    assert result == "2.0\n"


def imported(nodes) -> set[str]:
    """Absolute names that import statements among the nodes mention."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level < 2, "leaves the room"
            names |= set() if node.level else {f"{node.module}.{a.name}" for a in node.names}
    return names


@pytest.mark.parametrize("file", sorted(ROOT.glob("tvm_book/testing/*.py")), ids=lambda f: f.name)
def test_imports_no_other_room_and_no_large_library_at_once(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    project = {name for name in imported(ast.walk(tree)) if name.split(".")[0] == "tvm_book"}
    assert {name for name in project if not name.startswith("tvm_book.testing.")} == set()
    top = {name.split(".")[0] for name in imported(tree.body)}
    assert top - sys.stdlib_module_names <= {"numpy", "tvm_book"}


def test_the_short_names_are_the_metrics():
    others = ["integer_reference", "layerwise", "metric"]
    assert sorted([*testing.metric.__all__, *others]) == sorted(testing.__all__)
    assert {getattr(testing, name) for name in testing.metric.__all__} == set(METRICS)
