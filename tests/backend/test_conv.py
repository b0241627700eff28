"""Convolutions equal 64-bit integers, with all that follows them in one kernel."""

import numpy as np
import pytest
import torch
import tvm
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op

from tests.backend import levels
from tests.backend.levels import TARGET
from tests.backend.traps import PARAM as TRAPPED
from tvm_book.backend import build

LEVELS = [*levels.LEVELS, TRAPPED]
CHANNELS = st.sampled_from([1, 3, 5, 16, 17, 65])
SLOW = settings(
    max_examples=12,
    deadline=None,  # an example compiles
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],  # shrinking would compile hundreds of times
    derandomize=True,
)


def module(shape, make, dtype="int8"):
    """Return a function of one input; ``make(emit, x)`` emits its body."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(shape, dtype))
    with builder.function("main", [x]):
        with builder.dataflow():
            result = builder.emit_output(make(builder.emit, x))
        builder.emit_func_output(result)
    return builder.get()


def run(mod, data, level, threads=1, anchor="nn.conv2d"):
    built = build(mod, TARGET, level, threads)
    assert anchor in [call.operators[0] for call in built.calls], "no kernel took it"
    machine = relax.VirtualMachine(built.executable, tvm.cpu())
    return machine["main"](tvm.runtime.tensor(data)).numpy(), built


def exact(x, weights, **options):
    """Convolve in float64, which is exact for sums below 2**53."""
    out = torch.nn.functional.conv2d(
        torch.from_numpy(x.astype("float64")),
        torch.from_numpy(weights.astype("float64")),
        **options,
    )
    return out.numpy().astype("int64")


def bytes_of(rng, shape):
    return rng.choice(np.array([-128, -127, -1, 0, 3, 127], "int8"), shape)


def constant(array):
    return relax.const(array, str(array.dtype))


@st.composite
def geometry(draw):
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (1, 3), (2, 5), (7, 7)]))
    kind = draw(st.sampled_from(["dense", "dense", "depthwise", "grouped"]))
    inputs, outputs, groups = draw(CHANNELS), draw(CHANNELS), 1
    if kind == "depthwise":
        outputs = groups = inputs
    if kind == "grouped":
        groups = draw(st.sampled_from([2, 4, 8]))
        inputs, outputs = (
            groups * draw(st.sampled_from([1, 3, 4, 8])),
            groups * draw(st.sampled_from([1, 2, 5, 16])),
        )
    dilation = draw(st.integers(1, 2))
    padding = [draw(st.integers(0, 3)) for _ in range(4)]
    need = [(k - 1) * dilation + 1 for k in kernel]
    least = [max(1, n - padding[i] - padding[i + 2]) for i, n in enumerate(need)]
    size = [low + draw(st.integers(0, 9)) for low in least]
    stride = [draw(st.integers(1, 3)) for _ in range(2)]
    return (
        (draw(st.integers(1, 5)), inputs, *size),
        outputs,
        groups,
        kernel,
        stride,
        dilation,
        padding,
    )


@pytest.mark.parametrize("level", LEVELS)
@given(case=geometry(), threads=st.integers(1, 4), seed=st.integers(0, 9))
@SLOW
def test_sums_and_requantized_bytes_are_exact(level, case, threads, seed):
    shape, outputs, groups, kernel, stride, dilation, padding = case
    rng = np.random.default_rng(seed)
    x = bytes_of(rng, shape)
    weights = bytes_of(rng, (outputs, shape[1] // groups, *kernel))
    bias = rng.integers(-(2**20), 2**20, (outputs, 1, 1)).astype("int32")
    scales = rng.integers(1, 2**31, (outputs, 1, 1))
    offsets = rng.integers(-(2**40), 2**40, (outputs, 1, 1))
    options = {"strides": stride, "dilation": [dilation] * 2, "groups": groups}
    around = [(0, 0), (0, 0), (padding[0], padding[2]), (padding[1], padding[3])]
    padded = np.pad(x, around)

    def body(emit, data):
        acc = emit(
            op.nn.conv2d(data, constant(weights), padding=padding, out_dtype="int32", **options)
        )
        acc = emit(op.add(acc, constant(bias)))
        wide = emit(op.multiply(emit(op.astype(acc, "int64")), constant(scales)))
        wide = emit(op.add(wide, constant(offsets)))
        wide = emit(op.right_shift(wide, relax.const(38, "int64")))
        return emit(op.astype(emit(op.clip(wide, -128, 127)), "int8"))

    result, _ = run(module(shape, body), x, level, threads)
    sums = exact(padded, weights, stride=stride, dilation=dilation, groups=groups) + bias
    expected = np.clip((sums * scales + offsets) >> 38, -128, 127)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("level", LEVELS)
def test_sums_near_the_limit_of_int32(level):
    """65 * 3 * 3 products of the largest size, from a bias at the end of the range."""
    x = np.full((1, 65, 3, 3), -128, "int8")
    weights = np.full((3, 65, 3, 3), 127, "int8")
    bias = np.array([2**31 - 1, 0, -(2**31) + 65 * 9 * 128 * 127], "int32").reshape(3, 1, 1)

    def body(emit, data):
        acc = emit(op.nn.conv2d(data, constant(weights), out_dtype="int32"))
        return emit(op.add(acc, constant(bias)))

    result, _ = run(module(x.shape, body), x, level)
    np.testing.assert_array_equal(result, exact(x, weights) + bias)


@pytest.mark.parametrize("level", LEVELS)
def test_padding_with_a_zero_point_takes_no_copy_between_layers(level):
    rng = np.random.default_rng(0)
    x = bytes_of(rng, (2, 16, 9, 11))
    first, second = (bytes_of(rng, (17, c, 3, 3)) for c in (16, 17))

    def body(emit, data):
        acc = emit(op.nn.conv2d(data, constant(first), padding=[0] * 4, out_dtype="int32"))
        narrow = emit(op.astype(emit(op.right_shift(acc, relax.const(12, "int32"))), "int8"))
        around = emit(op.nn.pad(narrow, (0, 0, 0, 0, 1, 1, 1, 1), pad_value=-7))
        return emit(op.nn.conv2d(around, constant(second), out_dtype="int32"))

    result, built = run(module(x.shape, body), x, level)
    hidden = (exact(x, first) >> 12).astype("int8")
    hidden = np.pad(hidden, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=-7)
    np.testing.assert_array_equal(result, exact(hidden, second))
    assert [call.operators[0] for call in built.calls if call.operations] == ["nn.conv2d"] * 2
    assert len(built.calls) == 4  # with a copy in front and one behind: plain arrays


@pytest.mark.parametrize("level", LEVELS)
def test_a_residual_sum_is_part_of_the_convolution(level):
    rng = np.random.default_rng(1)
    x = bytes_of(rng, (1, 32, 8, 8))
    weights = bytes_of(rng, (32, 32, 1, 1))

    def body(emit, data):
        relu = emit(
            op.clip(emit(op.nn.conv2d(data, constant(weights), out_dtype="int32")), 0, 1 << 20)
        )
        narrow = emit(op.astype(emit(op.right_shift(relu, relax.const(13, "int32"))), "int8"))
        acc = emit(op.nn.conv2d(narrow, constant(weights), out_dtype="int32"))
        terms = [
            emit(op.multiply(emit(op.astype(v, "int64")), relax.const(m, "int64")))
            for v, m in ((acc, 1000), (narrow, 9_000_000))
        ]
        total = emit(op.right_shift(emit(op.add(*terms)), relax.const(24, "int64")))
        return emit(op.astype(emit(op.clip(total, -128, 127)), "int8"))

    result, built = run(module(x.shape, body), x, level)
    narrow = (np.clip(exact(x, weights), 0, 1 << 20) >> 13).astype("int8")
    total = (exact(narrow, weights) * 1000 + narrow.astype("int64") * 9_000_000) >> 24
    np.testing.assert_array_equal(result, np.clip(total, -128, 127))
    assert len(built.calls) == 4  # two convolutions, a copy in front and one behind


@pytest.mark.parametrize("level", LEVELS)
@given(case=geometry(), threads=st.integers(1, 4), seed=st.integers(0, 9))
@SLOW
def test_float_sums(level, case, threads, seed):
    shape, outputs, groups, kernel, stride, dilation, padding = case
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape).astype("float32")
    weights = rng.normal(size=(outputs, shape[1] // groups, *kernel)).astype("float32")
    options = {"strides": stride, "dilation": [dilation] * 2, "groups": groups}

    def body(emit, data):
        acc = emit(op.nn.conv2d(data, constant(weights), padding=padding, **options))
        return emit(op.nn.relu(acc))

    result, _ = run(module(shape, body, "float32"), x, level, threads)
    around = [(0, 0), (0, 0), (padding[0], padding[2]), (padding[1], padding[3])]
    padded = torch.from_numpy(np.pad(x.astype("float64"), around))
    taken = {"stride": stride, "dilation": dilation, "groups": groups}
    wide = torch.from_numpy(weights.astype("float64"))
    sums = torch.nn.functional.conv2d(padded, wide, **taken).numpy()
    sizes = torch.nn.functional.conv2d(padded.abs(), wide.abs(), **taken).numpy()
    # A sum of n products rounds n times, each by at most half an ulp of the sum of magnitudes.
    bound = 2.0**-23 * np.prod(weights.shape[1:]) * sizes + 1e-30
    assert np.all(np.abs(result - np.maximum(sums, 0)) <= bound)
