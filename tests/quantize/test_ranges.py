"""From ranges to grids, and from weights to ranges, in the affine scheme."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_book.quantize import QConfig
from tvm_book.quantize.calibrate._ranges import make_grid, weight_magnitudes

ENDS = st.one_of(st.just(0.0), st.floats(1e-30, 1e30))


def config(**options):
    return QConfig(preset="accurate", **options)


@given(ENDS, ENDS, st.sampled_from(["input", "table"]), st.integers(2, 8))
def test_a_grid_with_a_zero_point_covers_its_range(below, above, kind, bits):
    scale, low, high = make_grid(kind, -below, above, config(nbit_input=bits))
    steps = 2 ** (12 if kind == "table" else bits) - 1
    assert high - low == steps  # every code is used
    assert low <= 0 <= high  # zero is a step, so that padding and ReLU are exact
    assert low == round(low) and scale > 0
    # the ends lie within half a step of the range's, and float32's rounding of the step
    slack = float(scale) * (0.5 + steps * 2**-23)
    if below + above > 1e-20:
        assert abs(float(scale * low) + below) <= slack
        assert abs(float(scale * high) - above) <= slack


@given(ENDS, ENDS, st.integers(2, 8))
def test_a_symmetric_grid_has_its_ends_at_the_larger_magnitude(below, above, bits):
    options = config(nbit_input=bits, symmetric_input=True)
    for kind in ("input", "symmetric"):
        scale, low, high = make_grid(kind, -below, above, options)
        assert -low == high == 2 ** (bits - 1) - 1
        if max(below, above) > 1e-20:
            assert float(scale * high) == pytest.approx(max(below, above), rel=2**-22)


@pytest.mark.parametrize(
    "kind, low, high, expected",
    [
        ("input", 0.0, 2.55, (0.01, 0, 255)),
        ("input", -2.55, 0.0, (0.01, -255, 0)),
        ("input", -1.0, 1.55, (0.01, -100, 155)),
        ("symmetric", -1.27, 1.0, (0.01, -127, 127)),
        ("weight", -1.27, 1.27, (0.01, -127, 127)),
        ("table", 0.0, 40.95, (0.01, 0, 4095)),
    ],
)
def test_grids_by_hand(kind, low, high, expected):
    np.testing.assert_allclose(make_grid(kind, low, high, config()), expected, rtol=2**-22)


@pytest.mark.parametrize("extent", [0.0, 1e-45, 1e-40])
def test_a_range_without_extent_gets_a_usable_step(extent):
    for kind in ("input", "symmetric", "weight", "table"):
        scale, low, high = make_grid(kind, 0.0 if kind == "input" else -extent, extent, config())
        assert np.float32(1) / scale < np.inf and low <= 0 <= high


W = np.array([[[1.0, -3]], [[0.5, 0.25]], [[0, 0]]], np.float32)  # (3, 1, 2)


def test_one_magnitude_a_channel_broadcasts_to_the_weight():
    options = config(weight_scale="max")
    for axis, expected in ((0, [3, 0.5, 0]), (2, [1, 3]), (1, [3])):
        found = weight_magnitudes(W, axis, options)
        np.testing.assert_array_equal(found.ravel(), expected)
        assert np.broadcast_shapes(found.shape, W.shape) == W.shape
        assert found.shape[axis] == W.shape[axis]


def test_one_magnitude_for_the_whole_weight():
    assert weight_magnitudes(W, 0, config(weight_scale="max", weight_granularity="tensor")) == 3
    assert weight_magnitudes(W, None, config(weight_scale="max")).shape == ()


def test_powers_of_two():
    found = weight_magnitudes(W, 0, config(weight_scale="power2"))
    np.testing.assert_array_equal(found.ravel(), [4, 0.5, 0])


def rounding_error(weight, magnitude, bits):
    scale = make_grid("weight", -magnitude, magnitude, config(nbit_weight=bits)).scale
    end = 2 ** (bits - 1) - 1
    return np.sum((np.clip(np.rint(weight / scale), -end, end) * scale - weight) ** 2)


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_mse_magnitudes_err_less_than_the_largest_and_than_their_neighbours(bits):
    w = np.random.default_rng(0).standard_normal((4, 500)).astype("float32")
    found = weight_magnitudes(w, 0, config(nbit_weight=bits)).ravel()
    for row, magnitude in zip(w, found, strict=True):
        error = rounding_error(row, magnitude, bits)
        assert error <= rounding_error(row, np.abs(row).max(), bits)
        # a search with a finite step: what lies 5 % beside it is no better by more than 5 %
        for factor in (0.95, 1.05):
            assert error <= 1.05 * rounding_error(row, magnitude * factor, bits)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_an_error(bad):
    w = W.copy()
    w[1, 0, 0] = bad
    with pytest.raises(ValueError, match=r"constant of main, of shape \(3, 1, 2\)"):
        weight_magnitudes(w, 0, config())
