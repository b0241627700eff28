"""Which instruction sets are offered, and what a request for another one says."""

import ctypes
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.target import Target, codegen

from tests.backend.tiles import EMULATED
from tvm_book.backend import resolve_target
from tvm_book.backend.graph import lower
from tvm_book.backend.isa import LEVELS, _select, amx, available, select
from tvm_book.backend.kernels._gemm import pack

X86 = codegen.llvm_get_system_triple().startswith("x86_64")
needs_x86 = pytest.mark.skipif(not X86, reason="names CPUs and instruction sets of x86")
HOST = resolve_target("llvm")
SAPPHIRE_RAPIDS = Target({"kind": "llvm", "mcpu": "sapphirerapids"})


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes this machine look like another CPU."""

    def be(cpu, flags=frozenset(), refusal=None):
        monkeypatch.setattr(codegen, "llvm_get_system_cpu", lambda: cpu)
        monkeypatch.setattr(_select, "_flags", lambda: frozenset(flags))
        level = replace(amx.ISA, refusal=lambda: refusal)
        monkeypatch.setitem(LEVELS, "amx", level)
        _select._warn_once.cache_clear()
        return Target({"kind": "llvm", "mcpu": cpu})

    yield be
    _select._warn_once.cache_clear()


def names(target):
    return [isa.name for isa in available(target)]


def test_levels_are_listed_best_first():
    order = ["amx", "avx512-vnni", "avx512", "avx-vnni", "avx2", "portable"]
    assert list(LEVELS) == order


@needs_x86
@pytest.mark.parametrize(
    ("cpu", "best"),
    [
        ("sapphirerapids", "amx"),
        ("icelake-server", "avx512-vnni"),
        ("znver4", "avx512-vnni"),
        ("skylake-avx512", "avx512"),
        ("alderlake", "avx-vnni"),
        ("haswell", "avx2"),
        ("znver3", "avx2"),
        ("sandybridge", "portable"),
        ("x86-64", "portable"),
    ],
)
def test_a_cpu_gets_its_best_level(machine, cpu, best):
    target = machine(cpu)
    assert select(target).name == best
    assert names(target)[-1] == "portable"


def test_this_cpu_has_what_its_default_target_leaves_to_kernels():
    whole = Target({"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu()})
    assert names(HOST) == names(whole)


@needs_x86
@pytest.mark.parametrize(
    ("config", "best"),
    [
        ({"mcpu": "haswell"}, "avx2"),
        ({}, "portable"),
        ({"mcpu": "icelake-server", "mattr": ["-avx512vnni"]}, "avx512"),
        ({"mcpu": "icelake-server", "mattr": ["-avx512f"]}, "avx2"),
        ({"mcpu": "haswell", "mattr": ["+avx512f"]}, "avx2"),
    ],
)
def test_an_explicit_target_restricts_kernels_too(machine, config, best):
    machine("icelake-server")
    assert select(Target({"kind": "llvm", **config})).name == best


@needs_x86
def test_what_a_virtual_machine_hides_is_not_used(machine):
    target = machine("icelake-server", flags=("avx", "avx2", "fma", "bmi2"))
    assert names(target) == ["avx2", "portable"]


def test_other_architectures_get_portable_code():
    target = Target({"kind": "llvm", "mtriple": "aarch64-linux-gnu"})
    assert names(target) == ["portable"]
    assert LEVELS["portable"].target(target) is target


def test_an_unknown_name_is_told_the_levels():
    with pytest.raises(ValueError, match="isa='avx1024' is unknown; the levels are amx, avx512"):
        select(HOST, "avx1024")


@needs_x86
def test_a_level_that_the_cpu_lacks_is_refused(machine):
    target = machine("haswell")
    message = "isa='avx512': the target or this CPU lacks avx512bw.*; it has avx2, portable"
    with pytest.raises(ValueError, match=message):
        select(target, "avx512")
    assert select(target, "portable") is LEVELS["portable"]


@needs_x86
def test_without_permission_for_tiles_there_is_one_warning(machine):
    target = machine("sapphirerapids", refusal="no tiles today")
    with pytest.warns(UserWarning, match="use avx512-vnni instead of amx: no tiles today"):
        assert select(target).name == "avx512-vnni"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert select(target).name == "avx512-vnni"
        with pytest.raises(ValueError, match="isa='amx': no tiles today; use one of avx512-vnni"):
            select(target, "amx")


@pytest.mark.parametrize(
    ("syscall", "works", "expected"),
    [
        (lambda *numbers: 0, True, None),
        (lambda *numbers: 0, False, "its tiles do not multiply"),
        (lambda *numbers: -1, None, "the system refuses tile registers"),
    ],
)
def test_the_system_is_asked_for_tiles(monkeypatch, syscall, works, expected):
    asked = []
    monkeypatch.setattr(amx, "multiplies", lambda *_: works)

    class Library:
        def syscall(self, *numbers):
            asked.append(numbers)
            return syscall(*numbers)

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library())
    answer = amx.refusal.__wrapped__()
    assert answer is None if expected is None else answer.startswith(expected)
    assert asked == [(158, 0x1023, 18)]  # arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)


def test_an_instruction_set_of_ones_own_is_taken_as_it_is():
    assert select(HOST, EMULATED) is EMULATED
    with pytest.raises(ValueError, match="isa='mine': the target or this CPU lacks wishes"):
        select(HOST, replace(EMULATED, name="mine", needs=("wishes",)))


@pytest.mark.parametrize("name", LEVELS)
def test_packed_weights_are_what_a_step_multiplies(name):
    """Read a panel back as `Dot` describes it."""
    dot = LEVELS[name].int8
    weights = np.arange(-60, 60, dtype="int8").reshape(8, 15)
    packed = pack(weights, dot)
    panels = -(-15 // dot.lanes)
    assert packed.shape == (panels, 2, dot.lanes * 4)
    assert packed.dtype == dot.b
    for panel in range(panels):
        for step in range(2):
            vectors = packed[panel, step].reshape(dot.split, dot.lanes, 4 // dot.split)
            for lane in range(min(dot.lanes, 15 - panel * dot.lanes)):
                group = np.zeros(4, "int8")
                for v in range(dot.split):
                    group[v :: dot.split] = vectors[v, lane]
                column = panel * dot.lanes + lane
                np.testing.assert_array_equal(group, weights[4 * step : 4 * step + 4, column])


def assembly(isa, target, name="conv2d"):
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((1, 16, 6, 6), "int8"))
    with builder.function("main", [x]):
        with builder.dataflow():
            w = relax.const(np.ones((16, 16, 1, 1), "int8"), "int8")
            y = builder.emit_output(relax.op.nn.conv2d(x, w, out_dtype="int32"))
        builder.emit_func_output(y)
    kernels = lower(builder.get(), isa, 1).kernels
    chosen = {key: kernel for key, kernel in kernels.items() if key.startswith(name)}
    return tvm.tirx.build(tvm.IRModule(chosen), target=isa.target(target)).inspect_source("asm")


@needs_x86
@pytest.mark.parametrize(
    ("level", "instruction", "register"),
    [
        ("avx512-vnni", "vpdpbusd", "zmm"),
        ("avx512", "vpmaddwd", "zmm"),
        ("avx-vnni", "{vex} vpdpbusd", "ymm"),
        ("avx2", "vpmaddwd", "ymm"),
        ("portable", "pmaddwd", "xmm"),
    ],
)
def test_kernels_multiply_with_the_instruction_of_their_level(level, instruction, register):
    text = assembly(LEVELS[level], Target({"kind": "llvm", "mcpu": "x86-64"})).replace("\t", " ")
    lines = [line for line in text.splitlines() if instruction in line]
    assert lines
    assert all(register in line for line in lines)
    assert "mulld" not in text  # 32-bit products are slow


def test_portable_kernels_compile_for_arm():
    text = assembly(LEVELS["portable"], Target({"kind": "llvm", "mtriple": "aarch64-linux-gnu"}))
    assert "smlal" in text  # products of 16-bit integers, added to 32-bit sums
