"""What quantize is going to round, shown beforehand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tvm import relax

from tests.quantize.graphs import conv, module
from tvm_book.quantize import QConfig, quantize, rounded_tensors
from tvm_book.quantize.calibrate import ALGORITHMS, Grid, list_grids
from tvm_book.quantize.calibrate._ranges import make_grid

FIRST = np.array([[0.25, -1], [2, 0.5]], "float32")  # sums of such numbers are exact
SECOND = np.array([[1, 0.5], [-4, 3]], "float32")
BATCHES = [{"x": np.array([[0.375, 1]], "float32")}, {"x": np.array([[-2, 0.125]], "float32")}]
MODES = sorted(ALGORITHMS)


def two_layers():
    def build(emit, x):
        hidden = emit(relax.op.nn.relu(emit(relax.op.matmul(x, relax.const(FIRST)))))
        return emit(relax.op.matmul(hidden, relax.const(SECOND)))

    return module(build, x=(1, 2))


def config(**options):
    return QConfig(**{"skip_conv_layers": (), "skip_dense_layer": False, **options})


@pytest.mark.parametrize("mode", MODES)
def test_values_are_those_before_any_rounding(mode):
    # on a grid of 2 bits every number above would change
    coarse = config(calibrate_mode=mode, nbit_input=2, nbit_weight=2)
    tensors = rounded_tensors(two_layers(), dataset=BATCHES, config=coarse)
    x = np.concatenate([batch["x"] for batch in BATCHES])
    expected = [
        ("input", "input", x),
        ("weight", "const", FIRST),
        ("input", "nn.relu", np.maximum(x @ FIRST, 0)),
        ("weight", "const", SECOND),
    ]
    for (grid, values), (kind, source, array) in zip(tensors, expected, strict=True):
        assert (grid.kind, grid.source) == (kind, source)
        assert values.dtype == "float32"
        assert np.array_equal(values, array.reshape(-1))


@pytest.mark.parametrize("weight_scale", ["power2", "max"])
@pytest.mark.parametrize("mode", MODES)
def test_grids_are_those_of_quantize(mode, weight_scale):
    options = config(calibrate_mode=mode, weight_scale=weight_scale, do_simulation=True)
    simulated = quantize(two_layers(), dataset=BATCHES, config=options)
    tensors = rounded_tensors(two_layers(), dataset=BATCHES, config=options)
    assert [tensor.grid for tensor in tensors] == list_grids(simulated)


def test_nothing_to_round():
    assert rounded_tensors(two_layers(), dataset=BATCHES, config=QConfig()) == []


def test_config_of_the_scope_holds():
    mod = module(lambda emit, x: emit(conv(x)), x=(1, 3, 4, 4))
    batches = [{"x": np.ones((1, 3, 4, 4), "float32")}]
    with QConfig():  # skips the only convolution
        assert rounded_tensors(mod, dataset=batches) == []
    with config(global_scale=3.0):
        assert rounded_tensors(mod, dataset=batches)[0].grid.threshold == 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "pass dataset="),
        ({"dataset": []}, ValueError, "no batch"),
        ({"dataset": [{"y": FIRST}]}, ValueError, "has an input 'y'"),
        ({"dataset": BATCHES, "config": {"nbit_input": 8}}, TypeError, "config is a dict"),
        ({"dataset": BATCHES, "params": {"w": FIRST}}, ValueError, "no input 'w'"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        rounded_tensors(two_layers(), **arguments)


@given(st.floats(2.0**-60, 2.0**60, width=32), st.integers(2, 8))
def test_threshold_of_a_grid_is_what_it_was_made_for(magnitude, bits):
    """Exactly: a division by a power of two loses nothing."""
    grid = Grid("input", *make_grid("input", -magnitude, magnitude, QConfig(nbit_input=bits)))
    assert grid.threshold == magnitude
