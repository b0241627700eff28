"""Pooling: equal to torch on the same numbers, for each instruction set of this machine."""

import numpy as np
import pytest
import torch
import tvm
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from tvm import relax
from tvm.relax import op

from tests.backend.kernel_cases import EXAMPLES, outputs, values
from tests.backend.levels import LEVELS, TARGET
from tvm_book.backend import cpu_pipeline
from tvm_book.quantize.ops import global_avg_pool2d

CHANNELS = st.sampled_from([1, 3, 5, 17, 65])


@st.composite
def windows(draw, dilations=(1, 2)):
    """Shape, kernel, stride, padding, dilation; every window meets the image."""
    kernel = draw(st.sampled_from([1, 2, 3, 5]))
    dilation = draw(st.sampled_from(dilations))
    padding = draw(st.integers(0, kernel // 2))
    reach = (kernel - 1) * dilation + 1
    low = max(dilation, reach - 2 * padding)
    image = (draw(st.integers(low, low + 6)), draw(st.integers(low, low + 6)))
    shape = (draw(st.integers(1, 3)), draw(CHANNELS), *image)
    return shape, kernel, draw(st.integers(1, 3)), padding, dilation


def largest(kernel, stride, padding, dilation):
    def emit_pool(emit, x):
        sizes = [(n, n) for n in (kernel, stride, padding, dilation)]
        return emit(op.nn.max_pool2d(x, *sizes))

    return emit_pool


@pytest.mark.parametrize("level", LEVELS)
@given(
    st.lists(windows(), min_size=2, max_size=2),
    st.sampled_from(["int8", "float32"]),
    st.integers(1, 2),
)
@EXAMPLES
def test_max_pool(level, cases, dtype, threads):
    rng = np.random.default_rng(0)
    inputs = [values(rng, shape, dtype) for shape, *_ in cases]
    calls = [(largest(*sizes), [x]) for (_, *sizes), x in zip(cases, inputs, strict=True)]
    for y, x, (_, *sizes) in zip(
        outputs(calls, level, threads, ["nn.max_pool2d"]), inputs, cases, strict=True
    ):
        expected = functional.max_pool2d(torch.from_numpy(x).double(), *sizes)
        np.testing.assert_array_equal(y, expected.numpy())


@pytest.mark.parametrize("level", LEVELS)
def test_max_pool_between_other_kernels(level):
    """Images stay channels last; what lies behind 17 channels reaches no result."""
    rng = np.random.default_rng(1)
    x = values(rng, (2, 17, 9, 11), "float32")
    weight = values(rng, (5, 17, 3, 3), "float32")

    def chain(emit, x):
        y = emit(op.nn.max_pool2d(emit(op.nn.relu(x)), (3, 3), (2, 2), (1, 1)))
        y = emit(op.subtract(y, relax.const(0.5, "float32")))
        return emit(op.nn.conv2d(y, relax.const(weight), padding=(1, 1)))

    pooled = functional.max_pool2d(torch.from_numpy(x).relu().double(), 3, 2, 1) - 0.5
    expected = functional.conv2d(pooled, torch.from_numpy(weight).double(), padding=1).numpy()
    (y,) = outputs([(chain, [x])], level, 2, ["nn.max_pool2d"])
    # float32 sums of 153 products of numbers near 1
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("level", LEVELS)
def test_windows_larger_than_the_image_and_many_taps(level):
    x = values(np.random.default_rng(2), (1, 5, 3, 20), "int8")
    (y,) = outputs([(largest(13, 1, 6, 1), [x])], level, 1, ["nn.max_pool2d"])
    expected = functional.max_pool2d(torch.from_numpy(x).double(), 13, 1, 6)
    np.testing.assert_array_equal(y, expected.numpy())


@pytest.mark.parametrize("level", LEVELS)
@given(st.lists(windows(dilations=[1]), min_size=2, max_size=2), st.booleans(), st.integers(1, 2))
@EXAMPLES
def test_average_pool(level, cases, include, threads):
    rng = np.random.default_rng(3)
    inputs = [values(rng, shape, "float32") for shape, *_ in cases]

    def average(kernel, stride, padding, _):
        sizes = [(n, n) for n in (kernel, stride, padding, 1)]
        return lambda emit, x: emit(op.nn.avg_pool2d(x, *sizes, False, include))

    calls = [(average(*sizes), [x]) for (_, *sizes), x in zip(cases, inputs, strict=True)]
    for y, x, (_, *sizes) in zip(
        outputs(calls, level, threads, ["nn.avg_pool2d"]), inputs, cases, strict=True
    ):
        expected = functional.avg_pool2d(
            torch.from_numpy(x).double(), *sizes[:3], count_include_pad=include
        )
        np.testing.assert_allclose(y, expected.numpy(), rtol=1e-5, atol=1e-6)


def reference(function, x):
    """What TVM's own loops give."""
    builder, var = relax.BlockBuilder(), relax.Var("x", relax.TensorType(x.shape, str(x.dtype)))
    with builder.function("main", [var]):
        builder.emit_func_output(function(builder.emit, var))
    executable = tvm.compile(builder.get(), TARGET, relax_pipeline=cpu_pipeline(TARGET))
    return relax.VirtualMachine(executable, tvm.cpu())["main"](tvm.runtime.tensor(x)).numpy()


@pytest.mark.parametrize("dtype", ["int32", "float32"])
@pytest.mark.parametrize("include", [False, True])
def test_average_pool_counts_as_tvm_does_behind_the_image(dtype, include):
    """Padding at the end only, and a last window that ceil_mode adds beyond it."""
    x = (values(np.random.default_rng(4), (1, 3, 6, 7), "float32") * 1000).astype(dtype)

    def average(emit, x):
        return emit(op.nn.avg_pool2d(x, (3, 3), (2, 2), (1, 0, 1, 1), (1, 1), True, include))

    results = [outputs([(average, [x])], level, 1, ["nn.avg_pool2d"])[0] for level in LEVELS]
    expected = reference(average, x)
    for y in results:
        np.testing.assert_allclose(y, expected, rtol=1e-6 if dtype == "float32" else 0)


@pytest.mark.parametrize("level", LEVELS)
def test_adaptive_average_pool(level):
    x = values(np.random.default_rng(5), (2, 17, 6, 9), "float32")
    sizes = [(1, 1), (3, 4), (2, 5), (7, 7)]
    pools = [
        (lambda emit, x, size=size: emit(op.nn.adaptive_avg_pool2d(x, size)), [x]) for size in sizes
    ]
    results = outputs(pools, level, 2, ["nn.adaptive_avg_pool2d"])
    for y, size in zip(results, sizes, strict=True):
        expected = functional.adaptive_avg_pool2d(torch.from_numpy(x).double(), size)
        np.testing.assert_allclose(y, expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("level", LEVELS)
def test_global_average_pool_of_integers_rounds_towards_zero(level):
    x = values(np.random.default_rng(6), (3, 65, 4, 5), "int8")

    def pool(emit, x):
        return emit(global_avg_pool2d(emit(op.astype(x, "int32"))))

    (y,) = outputs([(pool, [x])], level, 2, ["nn.global_avg_pool2d"])
    total = x.astype("int64").sum(axis=(2, 3), keepdims=True)
    np.testing.assert_array_equal(y, np.sign(total) * (np.abs(total) // 20))


@pytest.mark.parametrize("level", LEVELS)
def test_a_window_beside_the_image_is_left_to_tvm(level):
    """No element is its maximum, so TVM's lowest value must stand there."""
    x = values(np.random.default_rng(7), (1, 3, 4, 4), "float32")
    pool = largest(1, 1, 2, 1)
    np.testing.assert_array_equal(outputs([(pool, [x])], level, 1)[0], reference(pool, x))
