"""Grids, and which tensors the calibration algorithms are shown."""

import numpy as np
import pytest
from hypothesis import given, settings
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
from tvm_book.quantize.schemes import scheme_for

f32 = np.float32


def make_grid(kind, magnitude, config):
    return Grid(kind, *_ranges.make_grid(kind, -magnitude, magnitude, config))


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


@pytest.mark.parametrize("mode", sorted(set(ALGORITHMS) - {"global_scale"}))
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
