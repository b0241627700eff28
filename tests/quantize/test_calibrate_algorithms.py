"""The statistics of one tensor: against literal algorithms, and however the data is split."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.quantize.graphs import array
from tvm_book.quantize import QConfig
from tvm_book.quantize.calibrate import ALGORITHMS, percentile
from tvm_book.quantize.calibrate._ranges import make_grid
from tvm_book.quantize.calibrate._statistic import grid_family
from tvm_book.quantize.calibrate.kl_divergence import BINS, KLDivergence, _divergence, divergences
from tvm_book.quantize.calibrate.minmax import MinMax
from tvm_book.quantize.calibrate.moving_average import MovingAverage
from tvm_book.quantize.calibrate.mse import HALF, MSE, mse_magnitudes
from tvm_book.quantize.calibrate.percentile import Percentile

f32 = np.float32
RELAY = QConfig()
AFFINE = QConfig(preset="accurate")


def watch(algorithm, batches, config=RELAY, kind="input"):
    watcher = algorithm(config, kind, sum(batch.size for batch in batches))
    for number in range(algorithm.passes):
        for batch in batches:
            watcher.update(batch, number)
    return watcher


def limits(algorithm, batches, config=RELAY, kind="input"):
    return watch(algorithm, batches, config, kind).limits()


# however the data is split


@st.composite
def sharded(draw):
    """Samples, and the same samples in shards of batches."""
    samples = draw(st.integers(1, 40))
    values = array(samples, 3, 2, seed=draw(st.integers(0, 99)))
    # the range grows or shrinks in the middle of the data, or starts at zero
    values *= f32(10.0) ** draw(st.integers(-6, 4))
    values[: draw(st.integers(0, samples))] *= f32(draw(st.sampled_from([0, 1e-3, 1, 300])))
    values = draw(st.sampled_from([np.asarray, np.abs, lambda x: -np.abs(x)]))(values)
    cuts = sorted(draw(st.lists(st.integers(1, samples), max_size=6)))
    batches = [part for part in np.split(values, cuts) if part.size]
    ends = sorted(draw(st.lists(st.integers(0, len(batches)), max_size=3)))
    return values, np.split(np.arange(len(batches)), ends), batches


@pytest.mark.parametrize("mode", sorted(ALGORITHMS))
@settings(max_examples=25, deadline=None)  # searching for the threshold of KL takes a second
@given(sharded(), st.sampled_from([RELAY, AFFINE]))
def test_limits_do_not_depend_on_batches_and_shards(mode, case, config):
    values, shards, batches = case
    algorithm = ALGORITHMS[mode]
    whole = watch(algorithm, [values], config)
    merged = algorithm(config, "input", values.size)
    for number in range(algorithm.passes):
        parts = []
        for shard in shards:
            watcher = pickle.loads(pickle.dumps(merged))
            for index in shard:
                watcher.update(torch.from_numpy(batches[index].copy()), number)
            parts.append(watcher)
        merged = parts[0]
        for other in parts[1:]:
            before = pickle.dumps(other)
            merged.merge(other)
            assert pickle.dumps(other) == before
    if mode == "kl_divergence":  # what its search is given
        np.testing.assert_array_equal(merged._histogram, whole._histogram)
        assert merged._range() == whole._range()
    else:
        assert merged.limits() == whole.limits()


@pytest.mark.parametrize("mode", sorted(ALGORITHMS))
@pytest.mark.parametrize("config", [RELAY, AFFINE], ids=["relay", "affine"])
@pytest.mark.parametrize("sign", [1, -1, 0])
def test_limits_hold_zero(mode, config, sign):
    low, high = limits(ALGORITHMS[mode], [sign * np.abs(array(4, 30))], config)
    assert low <= 0 <= high


@pytest.mark.parametrize("mode", sorted(set(ALGORITHMS) - {"global_scale"}))
def test_asymmetric_limits_of_one_sided_values_end_at_zero(mode):
    values = np.abs(array(20, 100))
    low, high = limits(ALGORITHMS[mode], [values], AFFINE)
    assert low == 0 and 1 < high <= values.max()
    low, high = limits(ALGORITHMS[mode], [-values], AFFINE)
    assert high == 0 and -values.max() <= low < -1


@pytest.mark.parametrize("mode", sorted(set(ALGORITHMS) - {"global_scale", "mse"}))
def test_a_short_side_is_not_cut(mode):
    """As after a swish: -0.28 at least, but no upper bound."""
    x = array(50, 100, scale=3)
    values = x / (1 + np.exp(-x))
    low, high = limits(ALGORITHMS[mode], [values], AFFINE)
    if mode == "moving_average":
        assert values.min() <= low < -0.27
    else:
        assert low == values.min() and high <= values.max()


@pytest.mark.parametrize("bits", [2, 5, 8])
@pytest.mark.parametrize("kind", ["input", "symmetric", "table"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_family_says_what_make_grid_makes(bits, kind, symmetric):
    config = QConfig(preset="accurate", nbit_input=bits, symmetric_input=symmetric)
    family = grid_family(kind, config)
    grid = make_grid(kind, -0.7, 1.3, config)
    last = family.steps if family.symmetric else grid.low + family.steps
    extent = 1.3 if family.symmetric else 2.0
    assert grid.scale == f32(extent / family.divisor)
    assert grid.high == last
    relay = QConfig(nbit_input=bits)
    grid, family = make_grid("input", -0.7, 1.3, relay), grid_family("input", relay)
    assert (grid.scale, grid.high) == (f32(1.3 / family.divisor), family.steps)


# min/max and moving average


def test_minmax():
    assert limits(MinMax, [f32([1, -2, 7])]) == (-2, 7)
    assert limits(MinMax, [f32([3, 7])]) == (0, 7)


def test_moving_average_of_samples():
    lows, highs = f32([-1, -2, 0, -8]), f32([5, 1, 9, 4])
    values = np.stack([lows, highs, (lows + highs) / 2], axis=1)
    low, high = -1.0, 5.0
    for a, b in zip(lows[1:], highs[1:], strict=True):
        low, high = 0.9 * low + 0.1 * a, 0.9 * high + 0.1 * b
    assert limits(MovingAverage, [values[:, None]]) == pytest.approx((low, high), rel=1e-15)


def test_moving_average_of_a_single_sample():
    assert limits(MovingAverage, [f32([[[-3, 4]]])]) == (-3, 4)
    assert limits(MovingAverage, [f32(4)]) == (0, 4)  # a scalar is one sample


# percentile


def magnitude(algorithm, batches, config=RELAY):
    low, high = limits(algorithm, batches, config)
    assert low == -high
    return high


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40),
    st.integers(0, 2),
    st.integers(0, 9),
)
@example([0.0], 0, 0)
def test_percentile_is_an_element_of_the_sorted_magnitudes(values, hundred_thousands, seed):
    """From 100 001 values on, the largest ones are left out."""
    many = np.random.default_rng(seed).standard_normal(hundred_thousands * 100_000)
    values = np.append(np.float32(values), many.astype("float32"))
    expected = np.sort(np.abs(values))[int(values.size * 0.99999)]
    assert magnitude(Percentile, [values]) == expected


@pytest.mark.parametrize(("percent", "index"), [(50, 500), (99, 990), (99.9, 999), (100, 999)])
def test_percentile_of_the_configuration(percent, index):
    values = array(1000)
    config = QConfig(percentile=percent)
    assert magnitude(Percentile, [values], config) == np.sort(np.abs(values))[index]


def test_percentile_keeps_only_the_tail():
    watcher = watch(Percentile, np.split(array(300_000), 30))
    assert watcher._tail.size == 300_000 - int(300_000 * 0.99999) == 3
    assert len(pickle.dumps(watcher)) < 1000


@pytest.mark.parametrize("count", [1, 30, 300])
@pytest.mark.parametrize("nans", [0, 10, 5000])
def test_largest_values(count, nans):
    values = np.random.default_rng(count).permutation(np.arange(10_000, dtype="float32"))
    values[:nans] = np.nan
    found = np.sort(percentile._largest(values, count))
    np.testing.assert_array_equal(found, np.sort(values)[-count:])


def test_percentile_of_few_values_is_the_largest():
    assert magnitude(Percentile, [f32([1, -7, 3])]) == 7


# KL divergence


def literal_divergence(histogram, half_width):
    """Follow the specification bin by bin, in float32 scalars."""
    zero = 4000
    start, stop = zero - half_width, zero + half_width + 1
    inside = [int(count) for count in histogram[start:stop]]
    length = len(inside)
    p = [f32(count) for count in inside]
    p[0] = f32(sum(int(count) for count in histogram[: start + 1]))
    p[-1] = f32(inside[-1] + sum(int(count) for count in histogram[stop:]))
    u = [0, *inside[1:]]
    m = length // 255
    q = [f32(0)] * length
    for j in range(255):
        group = range(j * m, length if j == 254 else (j + 1) * m)
        total, filled = sum(u[k] for k in group), sum(u[k] != 0 for k in group)
        for k in group:
            if p[k] != 0 and filled:
                q[k] = f32(total) / f32(filled)
    p, q = smooth(p), smooth(q)
    if p is None or q is None:
        return f32(np.inf)
    p_sum, q_sum = total_of(p), total_of(q)
    divergence = f32(0)
    for a, b in zip(p, q, strict=True):
        a, b = a / p_sum, b / q_sum
        divergence = f32(divergence + a * f32(math.log(float(a / b))))
    return divergence


def smooth(values):
    zeros = sum(value == 0 for value in values)
    if zeros == len(values):
        return None
    loss = f32(1e-4) * f32(zeros) / f32(len(values) - zeros)
    if loss >= 1:
        return None
    return [f32(1e-4) if value == 0 else f32(value - loss) for value in values]


def total_of(values):
    total = f32(0)
    for value in values:
        total = f32(total + value)
    return total


def random_histogram(seed, shape, count):
    values = np.random.default_rng(seed).standard_normal(count)
    if shape == "peaked":
        values = values**3
    elif shape == "one-sided":
        values = np.abs(values)
    top = np.abs(values).max()
    return np.histogram(values, BINS, (-top, top))[0]


@pytest.mark.parametrize("shape", ["normal", "peaked", "one-sided"])
@pytest.mark.parametrize("count", [50, 5000])
def test_divergence_follows_the_specification_bit_for_bit(shape, count):
    histogram = random_histogram(count, shape, count)
    for half_width in (127, 128, 254, 255, 381, 900, 4000):
        expected = literal_divergence(histogram, half_width)
        assert _divergence(histogram, half_width) == expected
        assert expected.dtype == np.float32


def test_divergence_of_windows_that_cannot_be_smoothed_is_infinite():
    empty_inside = np.zeros(BINS, int)
    assert _divergence(empty_inside, 127) == literal_divergence(empty_inside, 127) == np.inf
    single = np.zeros(BINS, int)
    single[4000] = 1
    # one filled bin loses 1e-4 for each of L - 1 empty ones: too much from L = 10001 on only
    assert _divergence(single, 4000) == literal_divergence(single, 4000) < np.inf


def test_kl_counts_every_value_in_the_bins_of_numpy():
    values = array(500, scale=3)
    watcher = watch(KLDivergence, np.split(values, [100, 340]))
    largest = float(np.abs(values).max())
    expected = np.histogram(values, BINS, (-largest, largest))[0]
    np.testing.assert_array_equal(watcher._histogram, expected)


def test_kl_threshold_is_the_upper_edge_of_the_first_best_window():
    values = np.append(array(3000, seed=1), f32([25, -30]))
    watcher = watch(KLDivergence, [values])
    best = int(np.argmin(divergences(watcher._histogram)))
    edges = np.linspace(-30, 30, BINS + 1)
    low, high = watcher.limits()
    assert low == -high == pytest.approx(-edges[4000 + 127 + best + 1], rel=1e-6)
    assert high < 10  # the outliers are cut off
    assert limits(KLDivergence, [values], AFFINE) == (low, high)


def test_kl_shards_need_the_same_first_pass():
    first, second = (watch(KLDivergence, [array(50, scale=scale)]) for scale in (1, 2))
    with pytest.raises(ValueError, match="followed different first passes"):
        first.merge(second)


def test_zeros_have_a_magnitude():
    # NumPy spreads the histogram of equal values over one unit
    assert 0 < magnitude(KLDivergence, [np.zeros(10, "float32")]) <= 0.5
    assert magnitude(Percentile, [np.zeros(10, "float32")]) == 0
    assert limits(MSE, [np.zeros(10, "float32")]) == (0, 0)


# mean squared error


def rounding_error(values, low, high, config):
    """Mean squared error of the grid that a range leads to."""
    scale, first, last = (float(x) for x in make_grid("input", low, high, config))
    values = values.astype("float64")
    return np.mean((values - np.clip(np.rint(values / scale), first, last) * scale) ** 2)


SHAPES = {
    "normal": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "heavy tail": lambda x: x**3,
    "swish": lambda x: 3 * x / (1 + np.exp(-3 * x)),
    "shifted": lambda x: x + 2,
    "negative": lambda x: -np.abs(x),
    "outlier": lambda x: np.append(x, [30, -8]),
    "uniform": lambda x: np.clip(x, -0.5, 1.5),
    "whole numbers": lambda x: np.rint(np.abs(x) * 5),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_mse_is_about_the_smallest_there_is(shape, bits, symmetric):
    config = QConfig(preset="accurate", nbit_input=bits, symmetric_input=symmetric)
    values = f32(SHAPES[shape](array(4000).astype("float64")))
    found = limits(MSE, [values], config)
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    shares = np.append(np.geomspace(0.02, 1, 30), 1)
    if symmetric:
        ranges = [(-max(-low, high) * share, max(-low, high) * share) for share in shares]
    else:
        ranges = [(low * a, high * b) for a in shares for b in (shares if low and high else [1])]
        ranges += [(low * a, high * a) for a in shares]
    smallest = min(rounding_error(values, *pair, config) for pair in ranges)
    # Values lie anywhere in their bins of a 2000th of the range or less: a few percent.
    assert rounding_error(values, *found, config) <= 1.05 * smallest + 1e-12


@settings(deadline=None)
@given(st.integers(-110, 110), st.integers(0, 5))
def test_mse_at_any_scale(power, seed):
    """The range is as many times wider as the values are."""
    values = array(300, seed=seed)
    low, high = limits(MSE, [values], AFFINE)
    scaled = limits(MSE, [np.ldexp(values, power)], AFFINE)
    assert scaled == (math.ldexp(low, power), math.ldexp(high, power))


def test_mse_counts_exactly():
    """In bins whose width is a power of two, whatever came before."""
    values = np.concatenate([np.zeros(3, "float32"), array(500, scale=1e-6), array(500, scale=5)])
    watcher = watch(MSE, np.split(values, [3, 400, 700]))
    width = 2.0 ** math.frexp(np.abs(values).max())[1] / HALF
    edges = width * np.arange(-HALF, HALF + 1)
    np.testing.assert_array_equal(watcher._counts, np.histogram(values, edges)[0])


def test_mse_keeps_the_same_amount_whatever_it_sees():
    sizes = {len(pickle.dumps(watch(MSE, [array(count)]))) for count in (10, 100_000)}
    assert max(sizes) - min(sizes) < 16


# weights


@st.composite
def weights(draw):
    channels, n = draw(st.integers(1, 5)), draw(st.integers(1, 60))
    rows = array(channels, n, seed=draw(st.integers(0, 99))) ** draw(st.sampled_from([1, 3]))
    return rows * f32(draw(st.sampled_from([0, 1e-6, 1, 100])))


def weight_errors(rows, magnitudes, steps, divisor):
    scales = np.where(magnitudes > 0, magnitudes, 1)[:, None].astype("float64") / divisor
    rows = rows.astype("float64")
    return ((rows - np.clip(np.rint(rows / scales), -steps, steps) * scales) ** 2).sum(axis=1)


@settings(deadline=None)
@given(weights(), st.integers(2, 8), st.booleans())
def test_mse_of_weights_is_never_worse_than_the_largest(rows, bits, relay):
    steps = 2 ** (bits - 1) - 1
    divisor = steps + relay
    found = mse_magnitudes(rows, bits, divisor if relay else None)
    largest = np.abs(rows).max(axis=1)
    assert (found <= largest).all()
    errors, plain = (weight_errors(rows, m, steps, divisor) for m in (found, largest))
    assert (errors <= plain * (1 + 1e-9)).all()


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("shape", [(6, 9), (4, 300), (3, 5000)])
def test_mse_of_weights_is_about_the_smallest_there_is(bits, shape):
    rows = np.concatenate([array(*shape), array(*shape, seed=1) ** 3])
    steps = 2 ** (bits - 1) - 1
    found = weight_errors(rows, mse_magnitudes(rows, bits), steps, steps)
    largest = np.abs(rows).max(axis=1)
    dense = np.array(
        [weight_errors(rows, largest * share, steps, steps) for share in np.linspace(0.1, 1, 2000)]
    )
    assert (found <= dense.min(axis=0) * 1.02).all()


def test_mse_of_weights_is_by_channel():
    rows = array(40, 3000)
    together = mse_magnitudes(rows, 4)
    alone = [mse_magnitudes(row[None], 4)[0] for row in rows]
    np.testing.assert_array_equal(together, alone)


def test_watchers_copy():
    """A deep copy sees on its own: what a second pass relies on."""
    watcher = watch(MSE, [array(10)])
    other = copy.deepcopy(watcher)
    other.update(array(10, scale=9))
    assert watcher.limits() == limits(MSE, [array(10)])
    assert watcher.limits() != other.limits()
