"""Targets, and the rounding that the default one promises."""

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R
from tvm.script import tirx as T
from tvm.target import Target, codegen

from tvm_book.backend import build, missing_features, resolve_target

X86 = codegen.llvm_get_system_triple().startswith("x86_64")
HOST = Target({"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu()})
needs_fma = pytest.mark.skipif(
    "fma" not in codegen.llvm_get_cpu_features(HOST), reason="this CPU has no fused multiply-add"
)
needs_x86 = pytest.mark.skipif(not X86, reason="names CPUs and instruction sets of x86")


@I.ir_module
class OneKernel:
    """`x * a + b` in one expression: what a compiler would most like to contract."""

    @T.prim_func(private=True, s_tir=True)
    def mul_add(
        x: T.Buffer((T.int64(4),), "float32"),
        a: T.Buffer((T.int64(4),), "float32"),
        b: T.Buffer((T.int64(4),), "float32"),
        y: T.Buffer((T.int64(4),), "float32"),
    ):
        for i in range(T.int64(4)):
            with T.sblock("y"):
                vi = T.axis.spatial(T.int64(4), i)
                y[vi] = x[vi] * a[vi] + b[vi]

    @R.function
    def main(
        x: R.Tensor((4,), "float32"),
        a: R.Tensor((4,), "float32"),
        b: R.Tensor((4,), "float32"),
    ) -> R.Tensor((4,), "float32"):
        cls = OneKernel
        with R.dataflow():
            y = R.call_tir(cls.mul_add, (x, a, b), out_ty=R.Tensor((4,), "float32"))
            R.output(y)
        return y


@I.ir_module
class TwoOperators:
    """The same as two operators: so small that LLVM unrolls and joins their loops."""

    @R.function
    def main(
        x: R.Tensor((4,), "float32"),
        a: R.Tensor((4,), "float32"),
        b: R.Tensor((4,), "float32"),
    ) -> R.Tensor((4,), "float32"):
        with R.dataflow():
            lv = R.multiply(x, a)
            y = R.add(lv, b)
            R.output(y)
        return y


def differing(mod, target):
    """Count the results, out of 400, that differ from NumPy's."""
    rng = np.random.default_rng(0)
    main = relax.VirtualMachine(build(mod, target).executable, tvm.cpu())["main"]
    count = 0
    for _ in range(100):
        x, a, b = rng.standard_normal((3, 4)).astype("float32")
        y = main(*map(tvm.runtime.tensor, (x, a, b))).numpy()
        count += int((y != x * a + b).sum())
    return count


@pytest.mark.skipif(not X86, reason="elsewhere fused multiply-add cannot be switched off")
@pytest.mark.parametrize("mod", [OneKernel, TwoOperators])
def test_multiply_then_add_rounds_twice(mod):
    assert differing(mod, resolve_target("llvm")) == 0


@needs_fma
def test_the_rounding_test_notices_fused_multiply_add():
    assert differing(OneKernel, HOST) > 50
    assert differing(TwoOperators, HOST) == 0  # kernels round twice on every CPU


def test_llvm_means_this_cpu():
    assert resolve_target("llvm").attrs["mcpu"] == codegen.llvm_get_system_cpu()
    assert str(resolve_target()) == str(resolve_target("llvm"))
    assert missing_features(resolve_target()) == []
    assert "fma" not in codegen.llvm_get_cpu_features(resolve_target())


def test_other_llvm_targets_are_taken_as_given():
    for given in ({"kind": "llvm"}, Target("llvm"), {"kind": "llvm", "opt-level": 1}):
        assert str(resolve_target(given)) == str(Target(given))
    assert resolve_target(HOST).same_as(HOST)


@pytest.mark.parametrize("target", ["cuda", "c", {"kind": "cuda"}, Target("c")])
def test_only_cpus(target, capfd):
    with pytest.raises(ValueError, match='through LLVM only; use target="llvm"'):
        resolve_target(target)
    assert capfd.readouterr() == ("", "")  # no search for a GPU


@pytest.mark.parametrize("target", ["lvm", "llvm -mcpu=native", {"kind": "llvm", "mcup": "x"}, 3])
def test_malformed_targets(target):
    with pytest.raises(ValueError, match="is not a valid target: "):
        resolve_target(target)


@needs_x86
def test_an_unknown_cpu_name_is_refused_with_the_near_one():
    with pytest.raises(ValueError, match=r"no CPU named 'haswel'; did you mean haswell"):
        resolve_target({"kind": "llvm", "mcpu": "haswel"})


@needs_x86
def test_a_cpu_that_this_one_is_not(monkeypatch):
    monkeypatch.setattr(codegen, "llvm_get_system_cpu", lambda: "nehalem")
    assert missing_features(Target({"kind": "llvm", "mcpu": "nehalem"})) == []
    missing = missing_features(Target({"kind": "llvm", "mcpu": "sapphirerapids"}))
    assert {"avx2", "avx512f", "amx-int8"} <= set(missing)
    assert not any(name.startswith("fast-") for name in missing)  # tuning is not a necessity
    with pytest.raises(ValueError, match="this CPU cannot run code that uses .*avx2"):
        resolve_target({"kind": "llvm", "mcpu": "haswell"})
