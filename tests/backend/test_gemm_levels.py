"""Convolutions and matrix products by every instruction set that runs here."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import tvm
from tvm import relax

from tests.backend.tiles import EMULATED
from tests.backend.traps import PARAM
from tvm_book.backend import build, resolve_target
from tvm_book.backend.isa import LEVELS, available, avx_vnni, select

TARGET = resolve_target("llvm")
# The instruction of AVX-VNNI, in the encoding that CPUs with AVX-512 have.
EVEX = replace(
    avx_vnni.ISA,
    name="avx-vnni in AVX-512 encoding",
    needs=("avx512vl", "avx512vnni"),
    options={"mcpu": "cascadelake"},
)


def runs_here(isa):
    if isa.name in LEVELS:
        return isa in available(TARGET)
    return set(isa.needs) <= {name for level in available(TARGET) for name in level.needs}


@pytest.fixture(params=[*LEVELS.values(), EVEX, EMULATED, PARAM], ids=lambda isa: isa.name)
def isa(request):
    if not runs_here(request.param):
        pytest.skip(f"this CPU has no {request.param.name}")
    return request.param


# batch, channels, height, width, outputs, kernel, stride, padding, dilation, groups
CONVOLUTIONS = {
    "odd channels": (2, 5, 4, 7, 17, (3, 3), 1, 1, 1, 1),
    "65 of 17, one pixel": (5, 17, 1, 1, 65, (1, 1), 1, 0, 1, 1),
    "stem": (1, 3, 13, 17, 40, (7, 7), 2, 3, 1, 1),
    "dilated, much padding": (1, 16, 5, 5, 16, (3, 2), 3, 4, 2, 1),
    "groups": (1, 64, 4, 7, 64, (3, 3), 1, 1, 1, 4),
    "depthwise": (1, 35, 6, 6, 35, (3, 3), 1, 1, 1, 35),
}


def run(operator, x, isa, threads=2):
    """Run `operator` of an input, of the type of `x`."""
    builder, var = relax.BlockBuilder(), relax.Var("x", relax.TensorType(x.shape, str(x.dtype)))
    with builder.function("main", [var]):
        with builder.dataflow():
            y = builder.emit_output(operator(builder, var))
        builder.emit_func_output(y)
    built = build(builder.get(), TARGET, isa, threads)
    machine = relax.VirtualMachine(built.executable, tvm.cpu())
    return machine["main"](tvm.runtime.tensor(x)).numpy(), built


def integers(rng, low, high, shape, dtype="int8"):
    """Return integers, a third of them the smallest or the largest."""
    values = rng.integers(low, high + 1, shape)
    ends = np.where(rng.integers(0, 2, shape) == 0, low, high)
    return np.where(rng.integers(0, 3, shape) == 0, ends, values).astype(dtype)


def exact(x, w, b, stride, padding, dilation, groups):
    """Return sums that float64 holds exactly, as they wrap around in 32 bits."""
    args = (torch.from_numpy(v.astype("float64")) for v in (x, w))
    sums = torch.nn.functional.conv2d(
        *args, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    return (sums.numpy().astype("int64") + b).astype("int32")


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions_are_exact(isa, case):
    n, c, h, w, o, kernel, stride, padding, dilation, groups = CONVOLUTIONS[case]
    rng = np.random.default_rng(1)
    x, weights = (
        integers(rng, -128, 127, (n, c, h, w)),
        integers(rng, -128, 127, (o, c // groups, *kernel)),
    )
    bias = integers(rng, -(2**31), 2**31 - 1, (1, o, 1, 1), "int32")

    def operator(builder, var):
        sums = relax.op.nn.conv2d(
            var,
            relax.const(weights, "int8"),
            strides=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            out_dtype="int32",
        )
        return relax.op.add(builder.emit(sums), relax.const(bias, "int32"))

    y, built = run(operator, x, isa)
    assert any("conv2d" in call.function for call in built.calls)
    np.testing.assert_array_equal(y, exact(x, weights, bias, stride, padding, dilation, groups))


@pytest.mark.parametrize("shape", [(1, 1, 5), (2, 19, 100, 65)])
def test_matrix_products_are_exact(isa, shape):
    *rows, depth, columns = shape
    rng = np.random.default_rng(2)
    x, w = integers(rng, -128, 127, (*rows, depth)), integers(rng, -128, 127, (depth, columns))
    y, _ = run(
        lambda _, var: relax.op.matmul(var, relax.const(w, "int8"), out_dtype="int32"), x, isa
    )
    np.testing.assert_array_equal(y, x.astype("int32") @ w.astype("int32"))


@pytest.mark.parametrize("isa", [EMULATED, select(TARGET)], ids=lambda isa: isa.name)
def test_more_threads_than_cores_give_the_same(isa):
    rng = np.random.default_rng(3)
    x, w = integers(rng, -128, 127, (1, 16, 9, 9)), integers(rng, -128, 127, (80, 16, 3, 3))

    def operator(_, var):
        return relax.op.nn.conv2d(var, relax.const(w, "int8"), padding=1, out_dtype="int32")

    y, _ = run(operator, x, isa, threads=5)
    np.testing.assert_array_equal(y, exact(x, w, 0, 1, 1, 1, 1))


def test_float_products_are_as_close_as_float32_can_be(isa):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((1, 17, 9, 9)).astype("float32")
    w = rng.standard_normal((33, 17, 3, 3)).astype("float32")
    y, _ = run(lambda _, var: relax.op.nn.conv2d(var, relax.const(w), padding=1), x, isa)
    args = (torch.from_numpy(v.astype("float64")) for v in (x, w))
    reference = torch.nn.functional.conv2d(*args, padding=1).numpy()
    # 153 sums, each rounded once or twice: at most about 2 * 153 * 2**-24 of the sum of magnitudes.
    bound = torch.nn.functional.conv2d(
        *(torch.from_numpy(abs(v).astype("float64")) for v in (x, w)), padding=1
    ).numpy()
    assert (abs(y - reference) <= 2 * 153 * 2.0**-24 * bound).all()
