"""Images on their way into channels last and out of it, and arrays that are turned over."""

import numpy as np
import pytest
import tvm
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op

from tests.backend.levels import LEVELS, TARGET
from tvm_book.backend import build
from tvm_book.backend.graph._entry import collapse, reading_axis, writing_axis
from tvm_book.backend.graph._layout import allocate
from tvm_book.backend.isa import select
from tvm_book.backend.kernels._kernel import Kernel
from tvm_book.backend.kernels._transpose import transposed
from tvm_book.backend.kernels._view import dense

SIZES = st.sampled_from([1, 3, 4, 5, 17, 65])
DTYPES = ["int8", "float32", "int32"]


def compiled(kernels, level):
    """Return a library of kernels of one input and one result each."""
    functions = {}
    for name, function in kernels.items():
        functions[name] = function.with_attr("global_symbol", name)
    target = select(TARGET, level).target(TARGET)
    return tvm.tirx.build(tvm.IRModule(functions), target=target)


def turned(level, threads, source, target, read, write):
    """Return the kernel that copies one view into another."""
    kernel = Kernel(select(TARGET, level), threads)

    def body(arrays, results):
        transposed(
            kernel,
            results[0],
            read,
            write,
            lambda index, lanes: arrays[0].load(index, read, lanes),
            min(source.slack, 16),
        )

    return kernel.build("kernel", [source], [target], body)


def spread(array, view, rest):
    """Lay a tensor out as a view says, with `rest` everywhere else."""
    flat = np.full(view.size, rest, view.stored)
    positions = sum(
        np.arange(n).reshape([-1 if a == axis else 1 for a in range(array.ndim)]) * s
        for axis, (n, s) in enumerate(zip(view.shape, view.strides, strict=True))
    )
    stored = (array.astype("int16") + 128).astype("uint8") if view.stored == "uint8" else array
    flat[positions + view.offset] = stored
    return flat, positions + view.offset


@st.composite
def copies(draw):
    """A tensor, the axis along which it lies, that along which it goes, and room around it."""
    shape = tuple(draw(SIZES) for _ in range(draw(st.integers(2, 4))))
    read, write = draw(st.permutations(range(len(shape))))[:2]
    halo = [(0, 0)] * len(shape)
    for axis in range(len(shape)):
        if axis != write:
            halo[axis] = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    multiple = draw(st.sampled_from([1, 4, 16]))
    return shape, read, write, halo, multiple, draw(st.sampled_from(DTYPES))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("level", LEVELS)
def test_any_array_turned_over(level, threads):
    """All elements arrive, nothing else is touched, floats behind the last one are finite."""

    @given(st.lists(copies(), min_size=4, max_size=4))
    @settings(
        max_examples=2,  # the first one is the simplest
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def any_copies(cases):
        kernels, views = {}, []
        for number, (shape, read, write, halo, multiple, dtype) in enumerate(cases):
            source = allocate(shape, dtype, read, multiple=multiple)
            target = allocate(shape, dtype, write, halo, 3, multiple)
            views.append((source, target))
            kernels[f"k{number}"] = turned(level, threads, source, target, read, write)
        library = compiled(kernels, level)
        for number, (case, (source, target)) in enumerate(zip(cases, views, strict=True)):
            shape, _, write, _, _, dtype = case
            rng = np.random.default_rng(number)
            array = rng.integers(-128, 128, shape).astype(dtype)
            given_, _ = spread(array, source, 9)
            before = np.full(target.size, np.nan if dtype == "float32" else 77, target.stored)
            after = tvm.runtime.tensor(before)
            library[f"k{number}"](tvm.runtime.tensor(given_), after)
            expected, where = spread(array, target, 0)
            after = after.numpy()
            np.testing.assert_array_equal(after[where], expected[where])
            whole = np.pad(array, target.halo, constant_values=3)
            wide = target.pad(target.halo, 3)
            expected, written = spread(whole, wide, 0)
            np.testing.assert_array_equal(after[written], expected[written])
            free = np.ones(target.size, bool)
            free[written] = False
            if dtype == "float32":
                slack = written.take([shape[write] - 1], write).reshape(-1, 1)
                slack = slack + np.arange(1, target.slack + 1)
                assert np.isfinite(after[slack]).all()
                free[slack] = False
                assert np.isnan(after[free]).all()

    any_copies()


def network(shape, channels, dtype, level, threads, kernel_size=3):
    """Return a convolution that quantizes its image, or not, and its weights."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-128, 128, (channels, shape[1], kernel_size, kernel_size))
    weights = weights.astype("int8" if dtype == "quantized" else dtype)
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(shape, "float32" if dtype == "quantized" else dtype))
    with builder.function("main", [x]):
        with builder.dataflow():
            y = x
            if dtype == "quantized":
                scales = relax.const(0.5, "float32"), relax.const(-3, "int32")
                y = builder.emit(op.quantize(x, *scales, out_dtype="int8", axis=-1))
            wide = "float32" if dtype == "float32" else "int32"
            constant = relax.const(weights, str(weights.dtype))
            y = op.nn.conv2d(y, constant, padding=kernel_size // 2, out_dtype=wide)
            out = builder.emit_output(builder.emit(y))
        builder.emit_func_output(out)
    built = build(builder.get(), TARGET, level, threads)
    return relax.VirtualMachine(built.executable, tvm.cpu()), weights


def correlation(x, weights):
    """Convolve in 64-bit integers, with as many zeros around as keep the size."""
    around = weights.shape[2] // 2
    padded = np.pad(x.astype("int64"), [(0, 0), (0, 0), (around, around), (around, around)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, weights.shape[2:], (2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weights.astype("int64"))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["quantized", "int8", "float32"])
def test_images_enter_and_results_leave(level, dtype, threads):
    shapes = {1: [(1, 3, 17, 65), (3, 1, 5, 5)], 2: [(2, 4, 5, 17), (1, 17, 3, 1)]}[threads]
    for shape in shapes:
        machine, weights = network(shape, 5, dtype, level, threads)
        rng = np.random.default_rng(1)
        # Small integers, so that sums of floats are exact.
        low, high = (-128, 128) if dtype == "int8" else (-20, 20)
        x = rng.integers(low, high, shape).astype("int8" if dtype == "int8" else "float32")
        result = machine["main"](tvm.runtime.tensor(x)).numpy()
        values = x.astype("int64") * 2 - 3 if dtype == "quantized" else x
        np.testing.assert_array_equal(result, correlation(values, weights))


def test_axes_that_lie_behind_each_other_are_one():
    source = dense((2, 64, 7, 7), "float32")
    target = allocate((2, 64, 7, 7), "float32", 1)
    (first, second), place = collapse([source, target], (3, 1))
    assert place == [0, 1, 2, 2]
    assert first.shape == second.shape == (2, 64, 49)
    assert (first.strides, second.strides) == ((3136, 49, 1), (3136, 1, 64))


def test_a_halo_keeps_axes_apart():
    source = dense((1, 64, 7, 7), "float32")
    target = allocate((1, 64, 7, 7), "float32", 1, [(0, 0), (0, 0), (1, 1), (1, 1)])
    assert collapse([source, target], (3, 1))[1] == [0, 0, 1, 2]


def test_reads_go_along_what_lies_so():
    images, channels = dense((1, 3, 8, 8), "float32"), allocate((1, 3, 8, 8), "int8", 1)
    assert reading_axis([images], 1) == 3
    assert reading_axis([images, channels], 1) == 1
    assert reading_axis([images.broadcast((2, 3, 8, 8))], 1) == 3
    assert reading_axis([], 1) == 1


def test_one_channel_is_written_along_itself():
    """Its neighbours are the padding, which is written with it."""
    view = allocate((1, 1, 8, 8), "int8", 1, multiple=4)
    assert writing_axis(view) == writing_axis(view, 1) == 1
    assert writing_axis(dense((3, 5), "int8")) == 1
