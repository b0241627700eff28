"""Concatenation and resizing move elements and change none, for each instruction set."""

import numpy as np
import pytest
import torch
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from tvm import relax
from tvm.relax import op

from tests.backend.kernel_cases import EXAMPLES, outputs, values
from tests.backend.levels import LEVELS, TARGET
from tvm_book.backend import cpu_pipeline

SIZES = st.sampled_from([1, 3, 5, 17, 65])
DTYPES = st.sampled_from(["int8", "int32", "float32"])


@st.composite
def joined(draw):
    """Shapes that differ along one axis, which axis, and a dtype."""
    rank = draw(st.integers(1, 4))
    shape, axis = (
        [draw(st.sampled_from([1, 2, 17])) for _ in range(rank)],
        draw(st.integers(-rank, rank - 1)),
    )
    shapes = [list(shape) for _ in range(draw(st.integers(1, 4)))]
    for one in shapes:
        one[axis] = draw(SIZES)
    return [tuple(one) for one in shapes], axis, draw(DTYPES)


@pytest.mark.parametrize("level", LEVELS)
@given(st.lists(joined(), min_size=3, max_size=3), st.integers(1, 2))
@EXAMPLES
def test_concat(level, cases, threads):
    rng = np.random.default_rng(0)
    inputs = [[values(rng, shape, dtype) for shape in shapes] for shapes, _, dtype in cases]
    calls = [
        (lambda emit, *xs, axis=axis: emit(op.concat(list(xs), axis)), xs)
        for (_, axis, _), xs in zip(cases, inputs, strict=True)
    ]
    results = outputs(calls, level, threads, ["concat"])
    for y, xs, (_, axis, _) in zip(results, inputs, cases, strict=True):
        np.testing.assert_array_equal(y, np.concatenate(xs, axis))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_channels_between_convolutions(level, dtype):
    """Operands of channels that fill no vector, behind and before kernels on images."""
    rng = np.random.default_rng(1)
    xs = [values(rng, (2, c, 5, 4), dtype) for c in (17, 3, 64, 1)]
    weight = values(rng, (3, 85, 3, 3), dtype)
    wide = "int32" if dtype == "int8" else dtype

    def chain(emit, *xs):
        pooled = [emit(op.nn.max_pool2d(x, (3, 3), (1, 1), (1, 1))) for x in xs]
        y = emit(op.concat(pooled, 1))
        return emit(op.nn.conv2d(y, relax.const(weight), padding=(1, 1), out_dtype=wide))

    pooled = [functional.max_pool2d(torch.from_numpy(x).double(), 3, 1, 1) for x in xs]
    expected = functional.conv2d(torch.cat(pooled, 1), torch.from_numpy(weight).double(), padding=1)
    (y,) = outputs([(chain, xs)], level, 2, ["concat"])
    if dtype == "int8":
        np.testing.assert_array_equal(y, expected.numpy())
    else:  # sums of 765 products
        atol = 1e-5 * float(expected.abs().max())
        np.testing.assert_allclose(y, expected.numpy(), rtol=0, atol=atol)


def reference(function, x):
    """What TVM's own loops give."""
    builder, var = relax.BlockBuilder(), relax.Var("x", relax.TensorType(x.shape, str(x.dtype)))
    with builder.function("main", [var]):
        builder.emit_func_output(function(builder.emit, var))
    executable = tvm.compile(builder.get(), TARGET, relax_pipeline=cpu_pipeline(TARGET))
    return relax.VirtualMachine(executable, tvm.cpu())["main"](tvm.runtime.tensor(x)).numpy()


MODES = ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "tf_half_pixel_for_nn"]
ROUNDING = ["round", "floor", "ceil", "round_prefer_floor", "round_prefer_ceil", ""]


@given(
    st.sampled_from([((5, 7), (9, 4)), ((8, 6), (4, 9)), ((4, 3), (8, 9)), ((1, 6), (3, 2))]),
    st.sampled_from(MODES),
    st.sampled_from([*(("nearest_neighbor", r) for r in ROUNDING), ("linear", "round")]),
    st.sampled_from([1, 17, 65]),
)
@settings(EXAMPLES, max_examples=4)
def test_resize_samples_where_tvm_does(sizes, mode, how, channels):
    (before, after), (method, rounding) = sizes, how
    x = values(np.random.default_rng(2), (2, channels, *before), "float32")

    def resize(emit, x):
        options = {"method": method, "rounding_method": rounding}
        return emit(op.image.resize2d(x, after, coordinate_transformation_mode=mode, **options))

    expected = reference(resize, x)
    for level in LEVELS:
        (y,) = outputs([(resize, [x])], level, 2, ["image.resize2d"])
        # LLVM may contract the weighted sums of "linear"; the nearest pixel stays as it is
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6 if method == "linear" else 0)


@pytest.mark.parametrize("level", LEVELS)
def test_upsampling_of_int8_repeats_pixels(level):
    x = values(np.random.default_rng(3), (1, 17, 3, 4), "int8")

    def resize(emit, x):
        options = {"method": "nearest_neighbor", "rounding_method": "floor"}
        options["coordinate_transformation_mode"] = "asymmetric"
        return emit(op.image.resize2d(x, (6, 12), **options))

    (y,) = outputs([(resize, [x])], level, 2, ["image.resize2d"])
    np.testing.assert_array_equal(y, x.repeat(2, axis=2).repeat(3, axis=3))
