"""Normalizations against torch in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op

from tests.backend.levels import LEVELS, by_kernels

F = torch.nn.functional
SIZES = (3, 5, 17, 65, 197)
EPSILON = 1e-3
# Results are of size 1. The variance is that of numbers of size 5 with rounding errors of 3e-7
# each, and epsilon keeps their quotient from growing where it is small.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(1, 3, shape).astype("float32")


def constant(values):
    return relax.const(values, "float32")


def double(*arrays):
    return [torch.from_numpy(array).double() for array in arrays]


def layer(n):
    scale, shift = numbers(n, seed=1), numbers(n, seed=2)
    factors = [constant(scale), constant(shift)]
    return (
        lambda x: op.nn.layer_norm(x, *factors, axes=[-1], epsilon=EPSILON),
        lambda x: F.layer_norm(x, (n,), *double(scale, shift), EPSILON),
    )


def bare(n):
    return (
        lambda x: op.nn.layer_norm(
            x, constant(np.ones(n)), constant(np.zeros(n)), axes=[-1], epsilon=EPSILON
        ),
        lambda x: F.layer_norm(x, (n,), eps=EPSILON),
    )


def mean_square(n):
    scale = numbers(n, seed=1)
    return (
        lambda x: op.nn.rms_norm(x, constant(scale), axes=[-1], epsilon=EPSILON),
        lambda x: F.rms_norm(x, (n,), *double(scale), EPSILON),
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", [layer, bare, mean_square])
def test_rows(level, kind):
    arrays = [numbers(2, 3, n) for n in SIZES]
    pairs = [kind(n) for n in SIZES]
    operators = [lambda emit, *xs, i=i, p=p: emit(p[0](xs[i])) for i, p in enumerate(pairs)]
    results = by_kernels(arrays, operators, level)
    for array, (_, truth), got in zip(arrays, pairs, results, strict=True):
        np.testing.assert_allclose(got, truth(*double(array)), **TOLERANCE)


@pytest.mark.parametrize("level", LEVELS)
def test_several_axes_groups_and_instances(level):
    arrays = [numbers(2, 12, 5, 3), numbers(2, 12, 65, 3), numbers(2, 12, 3, 17)]
    scale, shift = numbers(12, seed=1), numbers(12, seed=2)
    factors, channels = [constant(scale), constant(shift)], double(scale, shift)
    operators, wanted = [], []
    for i, array in enumerate(arrays):
        (x,), both = double(array), array.shape[2:]
        whole = [numbers(*both, seed=3), numbers(*both, seed=4)]
        area = {"axes": [2, 3], "epsilon": EPSILON}
        operators += [
            lambda emit, *xs, i=i, w=whole, a=area: emit(
                op.nn.layer_norm(xs[i], *map(constant, w), **a)
            ),
            lambda emit, *xs, i=i, a=area: emit(
                op.nn.group_norm(xs[i], *factors, num_groups=4, channel_axis=1, **a)
            ),
            lambda emit, *xs, i=i, a=area: emit(
                op.nn.instance_norm(xs[i], *factors, channel_axis=1, **a)
            ),
        ]
        wanted += [
            F.layer_norm(x, both, *double(*whole), EPSILON),
            F.group_norm(x, 4, *channels, EPSILON),
            F.instance_norm(x, weight=channels[0], bias=channels[1], eps=EPSILON),
        ]
    for got, want in zip(by_kernels(arrays, operators, level), wanted, strict=True):
        np.testing.assert_allclose(got, want, **TOLERANCE)


@settings(max_examples=5)
@given(st.lists(st.integers(1, 9), max_size=3), st.integers(2, 300))
def test_shapes(outer, n):
    array, (make, truth) = numbers(*outer, n), layer(n)
    (got,) = by_kernels([array], [lambda emit, x: emit(make(x))], LEVELS[0], 2)
    np.testing.assert_allclose(got, truth(*double(array)), **TOLERANCE)


@pytest.mark.parametrize("level", LEVELS)
def test_large_mean_keeps_the_variance(level):
    # The mean of the squares minus the square of the mean would have no digit left.
    array = (np.random.default_rng(0).integers(-2, 3, (4, 65)) + 2**16).astype("float32")
    make, truth = layer(65)
    (got,) = by_kernels([array], [lambda emit, x: emit(make(x))], level)
    # The mean itself is rounded to 2^-8.
    np.testing.assert_allclose(got, truth(*double(array)), atol=0.03)


@pytest.mark.parametrize("level", LEVELS)
def test_a_row_too_long_for_the_stack(level):
    array, (make, truth) = numbers(3, 20001), layer(20001)
    (got,) = by_kernels([array], [lambda emit, x: emit(make(x))], level, 2)
    np.testing.assert_allclose(got, truth(*double(array)), **TOLERANCE)


@pytest.mark.parametrize("level", LEVELS)
def test_quantization_behind_it(level):
    array, (make, _) = numbers(3, 33), layer(33)
    scale, zero = relax.const(np.float32(0.05)), relax.const(np.int32(3))

    def quantized(emit, x):
        return emit(op.quantize(emit(make(x)), scale, zero, out_dtype="int8"))

    (got,) = by_kernels([array], [quantized], level)
    (floats,) = by_kernels([array], [lambda emit, x: emit(make(x))], level)
    wanted = np.clip(np.rint(floats / np.float32(0.05)) + 3, -128, 127)
    np.testing.assert_array_equal(got, wanted.astype("int8"))
