"""Products made of tiles: all of it but the instructions themselves, which the assembler shows."""

from dataclasses import replace

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.target import codegen

from tests.backend.test_gemm_levels import exact, integers, run
from tests.backend.tiles import EMULATED, Emulated
from tests.backend.traps import PARAM, traps, why_not
from tvm_book.backend import resolve_target
from tvm_book.backend.graph import lower
from tvm_book.backend.isa import LEVELS, Dot, amx
from tvm_book.backend.isa._trial import multiplies
from tvm_book.backend.kernels import _gemm
from tvm_book.backend.kernels._gemm import Loop, Nest
from tvm_book.backend.kernels._gemm_amx import pad_runs, run_length

needs_x86 = pytest.mark.skipif(
    not codegen.llvm_get_system_triple().startswith("x86_64"),
    reason="this LLVM may have no code generator for x86",
)


@pytest.fixture
def tiled(monkeypatch):
    """Return the products that were made of tiles, each with the size of its activations."""
    found = []

    def record(kernel, nest, arrays, finish):
        found.append((nest, arrays[0].view.size))
        original(kernel, nest, arrays, finish)

    original = _gemm.gemm_tiles
    monkeypatch.setattr(_gemm, "gemm_tiles", record)
    return found


def convolution(x_shape, w_shape, stride=1, padding=0, groups=1, isa=EMULATED, threads=2):
    rng = np.random.default_rng(5)
    x, w = integers(rng, -128, 127, x_shape), integers(rng, -128, 127, w_shape)

    def operator(_, var):
        weights = relax.const(w, "int8")
        attrs = {"strides": stride, "padding": padding, "groups": groups, "out_dtype": "int32"}
        return relax.op.nn.conv2d(var, weights, **attrs)

    y, _ = run(operator, x, isa, threads)
    np.testing.assert_array_equal(y, exact(x, w, 0, stride, padding, 1, groups))


def last_read(nest):
    """Return the position behind the last activation that a nest reads."""
    loops = [*nest.outer, nest.rows, *nest.taps]
    span = sum((loop.extent - 1) * loop.a for loop in loops)
    shifts = (nest.columns - 1) // nest.shift[0] * nest.shift[1] if nest.shift[0] else 0
    return nest.start + span + shifts + nest.run


SHAPES = {
    "tiles of a row overlap": ((1, 64, 2, 35), (32, 64, 1, 1), 1, 0, 1),
    "an odd number of tiles, and of panels": ((1, 64, 3, 7), (48, 64, 3, 3), 1, 1, 1),
    "one tile": ((1, 64, 1, 1), (16, 64, 1, 1), 1, 0, 1),
    "runs are padded": ((2, 24, 5, 14), (33, 24, 3, 3), 1, 1, 1),
    "padding as large as the image": ((1, 16, 2, 2), (17, 16, 3, 3), 2, 2, 1),
    "the stem": ((1, 3, 12, 18), (24, 3, 7, 7), 2, 3, 1),
    "each panel reads its own": ((1, 64, 4, 5), (64, 16, 3, 3), 1, 1, 4),
}


each_isa = pytest.mark.parametrize("isa", [pytest.param(EMULATED, id=EMULATED.name), PARAM])


@each_isa
@pytest.mark.parametrize("case", SHAPES)
def test_convolutions_are_exact_and_stay_inside_their_arrays(tiled, isa, case):
    convolution(*SHAPES[case], isa=isa)
    assert len(tiled) == 1
    nest, size = tiled[0]
    assert nest.run % 64 == 0
    assert last_read(nest) <= size


@each_isa
@settings(max_examples=12)
@given(st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 130)), st.integers(1, 70))
def test_matrix_products_are_exact(isa, shape, columns):
    rng = np.random.default_rng(6)
    x, w = integers(rng, -128, 127, shape), integers(rng, -128, 127, (shape[-1], columns))
    y, _ = run(
        lambda _, var: relax.op.matmul(var, relax.const(w, "int8"), out_dtype="int32"), x, isa
    )
    np.testing.assert_array_equal(y, x.astype("int32") @ w.astype("int32"))


@each_isa
def test_products_of_two_activations_are_exact(tiled, isa):
    rng = np.random.default_rng(7)
    x = integers(rng, -128, 127, (3, 20, 64))

    def operator(builder, var):
        turned = builder.emit(relax.op.permute_dims(var, [0, 2, 1]))
        return relax.op.matmul(var, turned, out_dtype="int32")

    y, _ = run(operator, x, isa)
    wide = x.astype("int32")
    np.testing.assert_array_equal(y, wide @ wide.swapaxes(1, 2))
    assert len(tiled) == 1


@pytest.mark.parametrize(
    ("run", "beyond", "padded"),
    [
        (64, 0, 64),  # nothing to do
        (65, 0, 68),  # nothing there to read: a group of 4 has to do
        (65, 62, 68),
        (65, 63, 128),
        (16, 64, 64),
        (12, 64, 12),  # five times the work does not pay
    ],
)
def test_runs_are_padded_where_that_is_allowed_and_pays(run, beyond, padded):
    assert run_length(run, amx.INT8, beyond) == padded


def test_padding_adds_zero_weights_behind_each_run():
    nest = Nest((), Loop(1, 0), 2, 1, (Loop(3, 100),), 16, 0)
    weights = np.arange(3 * 16 * 2, dtype="int8").reshape(-1, 2)
    wider, padded = pad_runs(nest, weights, amx.INT8, 64)
    assert wider == replace(nest, run=64)
    runs = padded.reshape(3, 64, 2)
    np.testing.assert_array_equal(runs[:, :16], weights.reshape(3, 16, 2))
    assert not runs[:, 16:].any()


def test_other_instruction_sets_pad_to_groups_only():
    vnni: Dot = LEVELS["avx512-vnni"].int8
    assert run_length(65, vnni, 64) == 68


@pytest.mark.skipif(why_not() is not None, reason=f"{why_not()}")
def test_traps_see_the_instructions_of_the_level():
    before = traps().count()
    assert multiplies(amx.ISA.tiles, amx.ISA.target(tvm.target.Target("llvm")))
    # ldtilecfg, three loads, a product, a store, tilerelease
    assert traps().count() == before + 7


@needs_x86
def test_the_instructions_are_generated():
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((1, 64, 7, 7), "int8"))
    with builder.function("main", [x]):
        with builder.dataflow():
            w = relax.const(np.ones((48, 64, 3, 3), "int8"), "int8")
            sums = relax.op.nn.conv2d(x, w, padding=1, out_dtype="int32")
            y = builder.emit_output(builder.emit(sums))
        builder.emit_func_output(y)
    lowered = lower(builder.get(), amx.ISA, 2)
    kernels = {name: f for name, f in lowered.kernels.items() if name.startswith("conv2d")}
    target = amx.ISA.target(tvm.target.Target("llvm"))
    lines = tvm.tirx.build(tvm.IRModule(kernels), target=target).inspect_source("asm").splitlines()
    found = [line.split()[0] for line in lines if line.split()]
    names = ("ldtilecfg", "tileloadd", "tdpbusd", "tilestored", "tilerelease")
    counts = {name: found.count(name) for name in names}
    assert all(counts.values())
    # Four sums for each four loads of a step: a product takes one load, besides those of a start.
    assert counts["tileloadd"] < 2 * counts["tdpbusd"]
    assert found.count("vpdpbusd") == 0


def test_tiles_are_tried_before_they_are_used():
    target = resolve_target("llvm")
    assert multiplies(Emulated, target)

    class Twice(Emulated):
        """Multiplies more than it should."""

        def multiply(self, sums, a, b):
            super().multiply(sums, a, b)
            super().multiply(sums, a, b)

    assert not multiplies(Twice, target)
