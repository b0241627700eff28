"""Softmax against torch in float64: any axis, rows of any length, what follows it fused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op

from tests.backend.levels import LEVELS, by_kernels

SIZES = (1, 3, 5, 17, 65, 197)
KINDS = {
    "softmax": (op.nn.softmax, torch.softmax),
    "log_softmax": (op.nn.log_softmax, torch.log_softmax),
}
# The difference from the maximum is rounded first: to 1e-6 where it exceeds 16, and so is its
# exponential. Logarithms are right to that much of what is subtracted.
TOLERANCE = {"softmax": {"rtol": 2e-6, "atol": 1e-30}, "log_softmax": {"rtol": 1e-6, "atol": 2e-6}}


def numbers(*shape, seed=0):
    return (np.random.default_rng(seed).normal(size=shape) * 4).astype("float32")


def places(kind):
    """Arrays, and the axis in each; the logarithm differs in its last step only."""
    for n in SIZES:
        yield numbers(4, n), -1
        if kind == "softmax" and n > 1:
            yield numbers(2, n, 5), 1
    yield numbers(19, 3), 0
    yield numbers(1, 2, 3, 40), -1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", LEVELS)
def test_sizes_and_axes(level, kind):
    make, truth = KINDS[kind]
    arrays, axes = zip(*places(kind), strict=True)
    operators = [
        lambda emit, *xs, i=i, axis=axis: emit(make(xs[i], axis)) for i, axis in enumerate(axes)
    ]
    for array, axis, got in zip(arrays, axes, by_kernels(arrays, operators, level), strict=True):
        wanted = truth(torch.from_numpy(array).double(), axis).numpy()
        np.testing.assert_allclose(got, wanted, **TOLERANCE[kind])


@settings(max_examples=5)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.data())
def test_shapes(shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    array = numbers(*shape)
    (got,) = by_kernels([array], [lambda emit, x: emit(op.nn.softmax(x, axis))], LEVELS[0], 2)
    wanted = torch.softmax(torch.from_numpy(array).double(), axis).numpy()
    np.testing.assert_allclose(got, wanted, **TOLERANCE["softmax"])


@pytest.mark.parametrize("level", LEVELS)
def test_limits(level):
    rows = np.zeros((6, 19), "float32")
    rows[0, :7] = -np.inf  # a mask
    rows[1, 3] = np.inf
    rows[2, 18] = np.nan
    rows[3] = -np.inf
    rows[4] = np.linspace(-1e4, 1e4, 19)
    rows[5] = 3e38
    (got,) = by_kernels([rows], [lambda emit, x: emit(op.nn.softmax(x, -1))], level)
    wanted = torch.softmax(torch.from_numpy(rows).double(), -1).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert not got[0, :7].any()


@pytest.mark.parametrize("level", LEVELS)
def test_quantization_behind_it(level):
    array = numbers(3, 5, 33)
    scale, zero = relax.const(np.float32(1 / 255)), relax.const(np.int32(-128))

    def operator(emit, x):
        return emit(op.quantize(emit(op.nn.softmax(x, -1)), scale, zero, out_dtype="int8"))

    def unfused(emit, x):
        return emit(op.nn.softmax(x, -1))

    (got,) = by_kernels([array], [operator], level)
    (floats,) = by_kernels([array], [unfused], level)
    wanted = np.clip(np.rint(floats / np.float32(1 / 255)) - 128, -128, 127)
    np.testing.assert_array_equal(got, wanted.astype("int8"))
