"""Compensated rounding: on the grid, never without need, and better for the layer's output."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from tvm import relax

from tvm_book import quantize
from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig
from tvm_book.quantize.calibrate import list_grids
from tvm_book.quantize.compensate import BLOCK, DAMPING, compensated, second_moments


def correlated(rng, size, count=400):
    """Second moments of inputs that resemble their neighbours, as pixels behind a ReLU do."""
    x = rng.standard_normal((size, count))
    x[1:] += x[:-1]
    x = np.maximum(x, 0)
    return torch.from_numpy(x @ x.T / count)[None]


def output_error(weight, rounded, moments):
    error = rounded - weight
    return np.einsum("oi,ij,oj->", error, moments[0].numpy(), error)


def one_by_one(weight, scale, low, high, moments):
    """The definition: round one input, solve for what the others should be, and go on."""
    size = weight.shape[1]
    damped = moments[0].numpy() + DAMPING * np.mean(np.diag(moments[0])) * np.eye(size)
    steps = weight.astype(np.float64) / scale
    for i in range(size):
        rounded = np.clip(np.rint(steps[:, i]), low, high)
        error, steps[:, i] = steps[:, i] - rounded, rounded
        if i + 1 < size:  # the least squares solution for the weights still to come
            rest = np.linalg.solve(damped[i + 1 :, i + 1 :], damped[i + 1 :, i])
            steps[:, i + 1 :] += error[:, None] * rest
    return steps * scale


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 2 * BLOCK + 5))
def test_blocks_compute_what_the_definition_says(seed, size):
    rng = np.random.default_rng(seed)
    weight, moments = rng.standard_normal((3, size)), correlated(rng, size)
    scale = np.full((3, 1), 0.05)
    found = compensated(weight, scale, -127, 127, moments)
    expected = one_by_one(weight, scale, -127, 127, moments) / scale
    assert np.array_equal(found, np.rint(found))
    # float64 in another order: a weight within 1e-9 of a tie may fall to the other side, and what
    # comes after it with it; random weights do not come that near
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(st.integers(0, 2**31))
def test_independent_inputs_are_rounded_to_the_nearest_step(seed):
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((4, 6))
    moments = torch.diag(torch.from_numpy(rng.uniform(0.5, 2, 6)))[None]
    found = compensated(weight, np.array(0.25), -7, 7, moments)
    np.testing.assert_array_equal(found, np.clip(np.rint(weight / 0.25), -7, 7))


@pytest.mark.parametrize("seed", range(5))
def test_correlated_inputs_gain(seed):
    rng = np.random.default_rng(seed)
    weight, moments = rng.standard_normal((16, 72)), correlated(rng, 72)
    scale = np.abs(weight).max(axis=1, keepdims=True) / 127
    nearest = np.rint(weight / scale) * scale
    found = compensated(weight, scale, -127, 127, moments) * scale
    assert output_error(weight, found, moments) < 0.8 * output_error(weight, nearest, moments)


def test_results_stay_on_the_grid_where_weights_are_clipped():
    rng = np.random.default_rng(0)
    found = compensated(3 * rng.standard_normal((4, 9)), np.array(0.5), -3, 3, correlated(rng, 9))
    assert set(np.unique(found)) <= set(range(-3, 4))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_moments_of_a_convolution_are_those_of_its_windows(groups):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((2, 4, 6, 5)))
    var = relax.Var("x", relax.TensorType((2, 4, 6, 5), "float32"))
    weight = relax.const(np.zeros((4, 4 // groups, 3, 2), "float32"))
    call = relax.op.nn.conv2d(
        var, weight, strides=(2, 1), padding=(1, 0, 0, 2), dilation=(1, 2), groups=groups
    )
    padded = np.pad(x.numpy(), [(0, 0), (0, 0), (1, 0), (0, 2)])
    share, windows = 4 // groups, [[] for _ in range(groups)]
    for image in padded:
        for row in range(0, padded.shape[2] - 2, 2):
            for column in range(padded.shape[3] - 2):
                window = image[:, row : row + 3, column : column + 3 : 2]
                for g in range(groups):
                    windows[g].append(window[g * share : (g + 1) * share].ravel())
    expected = np.stack([np.array(w).T @ np.array(w) / len(w) for w in windows])
    np.testing.assert_allclose(second_moments(call, [x[:1], x[1:]]).numpy(), expected, rtol=1e-12)


def small_model():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 36, 10)).eval()


def data(count=4):
    rng = np.random.default_rng(0)
    smooth = rng.standard_normal((count, 2, 3, 9, 9)).astype("float32")
    return [{"data": (x[..., 1:, 1:] + x[..., :-1, :-1])} for x in smooth]


def quantized(dataset, **options):
    mod, params = from_pytorch(small_model(), [("data", (2, 3, 8, 8))])
    return quantize.quantize(mod, params, dataset, config=QConfig(preset="accurate", **options))


def constants(mod):
    found = []
    relax.analysis.post_order_visit(
        mod["main"],
        lambda x: (
            found.append(x.value.numpy())
            if hasattr(x, "value") and hasattr(x.value, "numpy")
            else None
        ),
    )
    return [x for x in found if x.dtype == np.int8 and x.ndim > 1]


def test_only_weights_change_and_by_few_steps():
    nearest = constants(quantized(data(), weight_rounding="nearest"))
    moved = constants(quantized(data()))
    assert [x.shape for x in moved] == [x.shape for x in nearest]
    for a, b in zip(nearest, moved, strict=True):
        difference = np.abs(a.astype(int) - b)
        assert 0 < difference.mean() < 1  # some weights, and on average by less than a step


def test_grids_are_those_of_nearest_rounding():
    """Compensation moves weights on their grids, and leaves the grids alone."""
    options = {"do_simulation": True}
    nearest = list_grids(quantized(data(), weight_rounding="nearest", **options))
    moved = list_grids(quantized(data(), **options))
    assert len(nearest) == len(moved)
    for a, b in zip(nearest, moved, strict=True):
        np.testing.assert_array_equal(a.scale, b.scale)


def test_statistics_without_data_leave_weights_alone():
    mod, params = from_pytorch(small_model(), [("data", (2, 3, 8, 8))])
    config = QConfig(preset="accurate")
    statistics = quantize.observe(mod, params, data(), config)
    plain = quantize.quantize(mod, params, config=config, statistics=statistics)
    nearest = quantized(data(), weight_rounding="nearest", bias_correction=False)
    for a, b in zip(constants(plain), constants(nearest), strict=True):
        np.testing.assert_array_equal(a, b)


def test_moments_of_large_images_come_from_every_nth_position(monkeypatch):
    monkeypatch.setattr("tvm_book.quantize.compensate.MOST_POSITIONS", 16)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((2, 3, 5, 4)))
    var = relax.Var("x", relax.TensorType((2, 3, 5, 4), "float32"))
    call = relax.op.nn.conv2d(var, relax.const(np.zeros((2, 3, 1, 1), "float32")))
    expected = 0
    for image in x.numpy():  # 40 positions in all: every third of each batch
        taken = image.reshape(3, -1)[:, ::3]
        expected = expected + taken @ taken.T / 14
    found = second_moments(call, [x[:1], x[1:]]).numpy()
    np.testing.assert_allclose(found, expected[None], rtol=1e-12)
