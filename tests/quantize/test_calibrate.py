"""Calibration: algorithms against literal ones, and which tensors they are shown."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tvm import relax

from tests.quantize.graphs import array, constant, conv, module, run
from tvm_book.quantize import QConfig, ops
from tvm_book.quantize.annotate import Annotate
from tvm_book.quantize.calibrate import (
    ALGORITHMS,
    Calibrate,
    Grid,
    SetGrids,
    _ranges,
    choose_grids,
    list_grids,
)
from tvm_book.quantize.calibrate.kl_divergence import BINS, KLDivergence, _divergence, divergences
from tvm_book.quantize.calibrate.percentile import Percentile
from tvm_book.quantize.schemes import scheme_for

f32 = np.float32


def make_grid(kind, magnitude, config):
    return Grid(kind, *_ranges.make_grid(kind, -magnitude, magnitude, config))


def magnitude(algorithm, batches):
    watcher = algorithm(sum(batch.size for batch in batches))
    for number in range(algorithm.passes):
        for batch in batches:
            watcher.update(batch, number)
    return watcher.magnitude()


# percentile


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


def test_percentile_of_few_values_is_the_largest():
    assert magnitude(Percentile, [f32([1, -7, 3])]) == 7


# batches


@st.composite
def split_values(draw):
    """Values, and the same values in batches."""
    size = draw(st.integers(1, 300))
    values = array(size, seed=draw(st.integers(0, 99)), scale=draw(st.sampled_from([1e-6, 1, 50])))
    cuts = sorted(draw(st.lists(st.integers(1, size), max_size=5)))
    return values, [part for part in np.split(values, cuts) if part.size]


@given(split_values())
def test_percentile_does_not_depend_on_the_batches(case):
    values, batches = case
    assert magnitude(Percentile, batches) == magnitude(Percentile, [values])


@given(split_values())
def test_kl_histogram_does_not_depend_on_the_batches(case):
    values, batches = case
    histograms = []
    for parts in ([values], batches):
        watcher = KLDivergence(values.size)
        for number in range(2):
            for part in parts:
                watcher.update(part, number)
        histograms.append((watcher._histogram, watcher._edges))
    (whole, edges), (parts, same_edges) = histograms
    np.testing.assert_array_equal(whole, parts)
    np.testing.assert_array_equal(edges, same_edges)
    assert whole.sum() == values.size
    np.testing.assert_array_equal(whole, np.histogram(values, edges)[0])


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


def test_magnitude_is_the_upper_edge_of_the_first_best_window():
    values = np.append(array(3000, seed=1), f32([25, -30]))
    watcher = KLDivergence(values.size)
    for number in range(2):
        watcher.update(values, number)
    best = int(np.argmin(divergences(watcher._histogram)))
    edges = np.linspace(-30, 30, BINS + 1)
    assert watcher.magnitude() == pytest.approx(edges[4000 + 127 + best + 1], rel=1e-6)
    assert watcher.magnitude() < 10  # the outliers are cut off


def test_zeros_have_a_magnitude():
    # NumPy spreads the histogram of equal values over one unit
    assert 0 < magnitude(KLDivergence, [np.zeros(10, "float32")]) <= 0.5
    assert magnitude(Percentile, [np.zeros(10, "float32")]) == 0


# grids


@pytest.mark.parametrize("bits", [2, 5, 8, 16, 24, 32])
@pytest.mark.parametrize("kind", ["input", "weight", "activation"])
def test_grid_is_symmetric_and_ends_one_step_below_the_magnitude(kind, bits):
    storage = {} if kind == "activation" else {f"dtype_{kind}": "int32"}
    grid = make_grid(kind, 3.0, QConfig(**{f"nbit_{kind}": bits}, **storage))
    steps = 2 ** (bits - 1)
    assert grid[:4] == (kind, f32(3.0 / steps), f32(1 - steps), f32(steps - 1))
    assert all(number.dtype == np.float32 for number in grid[1:4])


@pytest.mark.parametrize("value", [0.0, 1e-45, 1e-37])
def test_magnitude_that_float32_cannot_divide_gets_the_grid_that_ends_at_one(value):
    assert make_grid("input", value, QConfig()).scale == f32(1 / 128)


def annotated(build, config=None, **inputs):
    config = config or QConfig(skip_conv_layers=None)
    mod = module(build, **(inputs or {"x": (1, 3, 6, 6)}))
    return Annotate.as_pass(scheme_for(config), config)(mod)


def layer(weight):
    return lambda emit, x: emit(relax.op.nn.conv2d(x, relax.const(weight)))


@pytest.mark.parametrize(
    "largest, power2",
    [(0.9, 1.0), (1.0, 1.0), (np.nextafter(f32(1), f32(2)), 2.0), (0.125, 0.125), (3e-5, 2.0**-15)],
)
def test_weight_scale_power2_rounds_up_and_max_does_not(largest, power2):
    weight = np.full((2, 3, 1, 1), largest / 2, "float32")
    weight[1, 2] = -largest
    mod = annotated(layer(weight))
    for weight_scale, expected in (("power2", power2), ("max", float(f32(largest)))):
        _, grid = choose_grids(mod, QConfig(weight_scale=weight_scale), None)
        assert (grid.kind, grid.scale) == ("weight", f32(expected / 128))


@pytest.mark.parametrize("weight_scale", ["power2", "max"])
@pytest.mark.parametrize("value", [0.0, 1e-45])
def test_weights_of_zero_have_a_grid(weight_scale, value):
    mod = annotated(layer(np.full((2, 3, 1, 1), value, "float32")))
    _, grid = choose_grids(mod, QConfig(weight_scale=weight_scale), None)
    assert 0 < grid.scale <= f32(1 / 128)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(value):
    weight = array(2, 3, 1, 1)
    weight[0, 1] = value
    with pytest.raises(ValueError, match=r"constant of main, of shape \(2, 3, 1, 1\), has a NaN"):
        choose_grids(annotated(layer(weight)), QConfig(), None)


def network(emit, x):
    """Two branches of two layers."""
    left = emit(relax.op.nn.relu(emit(conv(emit(conv(x, 4))))))
    right = emit(relax.op.add(emit(conv(x)), constant(3, 1, 1)))
    return emit(relax.op.add(left, right))


DATASET = [{"x": array(1, 3, 6, 6, seed=seed, scale=2)} for seed in range(3)]
KINDS = ["input", "weight", "input", "weight", "weight", "weight", "input"]


def test_global_scale_needs_no_data():
    grids = choose_grids(annotated(network), QConfig(global_scale=4.0), None)
    assert [grid.kind for grid in grids] == KINDS
    assert all(grid.scale == f32(4 / 128) for grid in grids if grid.kind == "input")


def test_grids_are_listed_with_what_they_round():
    mod = annotated(network)
    grids = choose_grids(mod, QConfig(), None)
    assert [(grid.source, grid.shape) for grid in grids] == [
        ("input", (1, 3, 6, 6)),
        ("const", (4, 3, 1, 1)),
        ("nn.conv2d", (1, 4, 6, 6)),
        ("const", (3, 4, 1, 1)),
        ("const", (3, 3, 1, 1)),
        ("const", (3, 1, 1)),
        ("add", (1, 3, 6, 6)),
    ]
    assert list_grids(mod) == []  # not calibrated yet
    assert list_grids(Calibrate.as_pass(QConfig(), None)(mod)) == grids


def test_set_grids_writes_in_visiting_order():
    mod = annotated(network)
    grids = [make_grid(kind, 1.0 + number, QConfig()) for number, kind in enumerate(KINDS)]
    listed = list_grids(SetGrids.as_pass(grids)(mod))
    assert [grid[:4] for grid in listed] == [grid[:4] for grid in grids]


@pytest.mark.parametrize("count", [0, 6, 8])
def test_set_grids_wants_one_grid_for_each_rounding(count):
    grids = [Grid("input", f32(1), f32(-127), f32(127))] * count
    with pytest.raises(ValueError, match=f"main rounds 7 tensors but {count} grids were given"):
        SetGrids.as_pass(grids)(annotated(network))


def test_percentile_sees_the_float_values():
    """Nothing is rounded while observing: magnitudes are those of the float model."""

    def inner(emit, x):
        first = emit(conv(x, 4))
        left = emit(relax.op.nn.relu(emit(conv(first))))
        right = emit(relax.op.add(emit(conv(x)), constant(3, 1, 1)))
        return relax.Tuple([first, right, left])

    floats = module(inner, x=(1, 3, 6, 6))
    seen = [run(floats, batch["x"]) for batch in DATASET]
    grids = choose_grids(annotated(network), QConfig(calibrate_mode="percentile"), DATASET)
    scales = [grid.scale for grid in grids if grid.kind == "input"]
    # Another compilation of the same sums of at most 4 products; the grid divides by 128.
    for scale, values in zip(scales[1:], zip(*seen, strict=True), strict=False):
        assert scale == pytest.approx(max(np.abs(v).max() for v in values) / 128, rel=1e-6)
    assert scales[0] == max(np.abs(batch["x"]).max() for batch in DATASET) / 128


@pytest.mark.parametrize("mode", sorted(ALGORITHMS))
def test_chunks_do_not_change_the_result(mode):
    mod = annotated(network)
    data = DATASET[:2] if mode == "kl_divergence" else DATASET
    results = [
        choose_grids(mod, QConfig(calibrate_mode=mode, calibrate_chunk_by=chunk), data)
        for chunk in (-1, 1, 2)
    ]
    assert results[0] == results[1] == results[2]
    assert len({grid.scale for grid in results[0] if grid.kind == "input"}) == 3


def test_inputs_are_fed_by_name():
    def build(emit, a, b):
        return emit(relax.op.add(emit(conv(a)), emit(conv(b))))

    mod = annotated(build, a=(1, 3, 2, 2), b=(1, 3, 2, 2))
    small, large = array(1, 3, 2, 2), array(1, 3, 2, 2, seed=1, scale=9)
    config = QConfig(calibrate_mode="percentile")
    for batch in ({"a": small, "b": large}, {"b": large, "a": small}):
        grids = choose_grids(mod, config, [batch])
        sources = [grid.scale for grid in grids if grid.source == "input"]
        assert sources == [np.abs(small).max() / 128, np.abs(large).max() / 128]


def test_a_model_that_computes_nan_from_the_data_is_refused():
    build = lambda emit, x: emit(conv(emit(relax.op.log(x))))  # noqa: E731
    with pytest.raises(ValueError, match="float model computes a NaN or infinity"):
        choose_grids(annotated(build), QConfig(calibrate_mode="percentile"), DATASET)


def test_rounding_of_constants_alone_needs_no_watcher():
    mod = module(lambda emit, x: emit(ops.simulated_quantize(constant(3), kind="weight")), x=(1,))
    (grid,) = choose_grids(mod, QConfig(calibrate_mode="percentile"), DATASET)
    assert grid.kind == "weight"


@settings(max_examples=20)
@given(st.floats(2.0**-60, 2.0**60), st.sampled_from(["power2", "max"]))
def test_weights_fit_their_grid(largest, weight_scale):
    mod = annotated(layer(np.full((1, 3, 1, 1), largest, "float32")))
    _, grid = choose_grids(mod, QConfig(weight_scale=weight_scale), None)
    steps = f32(largest) / grid.scale
    assert (64 if weight_scale == "power2" else 127.9) < steps <= 128.1
