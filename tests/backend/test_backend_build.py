"""Code generation: same results, the caller's module untouched, clear errors."""

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import relax
from tvm.ir import Op, register_op_attr
from tvm.script import ir as I
from tvm.script import relax as R

from tvm_book.backend import build, resolve_target
from tvm_book.instrument import PassTimeline


@I.ir_module
class IntegerConv:
    """The integer chain of a quantized convolution."""

    @R.function
    def main(x: R.Tensor((1, 8, 6, 6), "int8"), w: R.Tensor((4, 8, 3, 3), "int8")) -> R.Tensor(
        (1, 4, 6, 6), "int8"
    ):
        with R.dataflow():
            acc = R.nn.conv2d(x, w, padding=[1, 1, 1, 1], out_dtype="int32")
            half = R.add(acc, R.const(512, "int32"))
            shifted = R.right_shift(half, R.const(10, "int32"))
            clipped = R.clip(shifted, -127, 127)
            y = R.astype(clipped, "int8")
            R.output(y)
        return y


@I.ir_module
class Pooled:
    """Float operators of several fusion kinds: opaque, injective, broadcast, reduction."""

    @R.function
    def main(x: R.Tensor((2, 3, 4, 4), "float32"), s: R.Tensor((3, 1, 1), "float32")) -> R.Tensor(
        (2, 3), "float32"
    ):
        with R.dataflow():
            scaled = R.multiply(x, s)
            pooled = R.nn.max_pool2d(scaled, pool_size=[2, 2], strides=[2, 2])
            flat = R.reshape(pooled, (2, 3, 4))
            y = R.max(flat, axis=[2])
            R.output(y)
        return y


def run(mod, *arrays):
    machine = relax.VirtualMachine(build(mod, resolve_target("llvm")).executable, tvm.cpu())
    return machine["main"](*map(tvm.runtime.tensor, arrays)).numpy()


@pytest.fixture
def conv_inputs():
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (1, 8, 6, 6)).astype("int8")
    return x, rng.integers(-128, 128, (4, 8, 3, 3)).astype("int8")


@pytest.mark.parametrize("opt_level", [0, 1, 2, 3])
def test_integer_convolution_is_exact_at_every_level(conv_inputs, opt_level):
    x, w = conv_inputs
    padded = np.pad(x.astype("int64"), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    acc = np.einsum("nchwij,ocij->nohw", windows, w.astype("int64"))
    with tvm.transform.PassContext(opt_level=opt_level):
        y = run(IntegerConv, x, w)
    np.testing.assert_array_equal(y, np.clip((acc + 512) >> 10, -127, 127).astype("int8"))


def test_float_chain_is_exact():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 3, 4, 4)).astype("float32")
    s = rng.standard_normal((3, 1, 1)).astype("float32")
    np.testing.assert_array_equal(run(Pooled, x, s), (x * s).max(axis=(2, 3)))


def test_the_callers_module_is_not_changed(conv_inputs):
    text = IntegerConv.script(show_meta=True)
    copy = tvm.IRModule(dict(IntegerConv.functions.items()))
    build(IntegerConv, resolve_target("llvm"))
    assert IntegerConv.script(show_meta=True) == text
    assert tvm_ffi.structural_equal(IntegerConv, copy)


def test_operators_are_fused_and_constants_folded():
    timeline = PassTimeline()
    with tvm.transform.PassContext(instruments=[timeline]):
        build(Pooled, resolve_target("llvm"))
    names = [record.name for record in timeline.records]
    assert "cpu_pipeline" in names
    assert names.index("LegalizeOps") < names.index("FoldConstant") < names.index("FuseOps")


def test_an_operator_without_code_is_named():
    name = "relax.tvm_book_test.no_loops"
    tvm.ir._ffi_api.RegisterOp(name, "An operator that nothing lowers.")
    register_op_attr(name, "FInferType", lambda call, _: call.args[0].ty)
    register_op_attr(name, "FPurity", True)
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((4,), "float32"))
    with builder.function("main", [x]):
        builder.emit_func_output(builder.emit(relax.Call(Op.get(name), [x])))
    with pytest.raises(NotImplementedError, match=rf"the operator {name} cannot be compiled"):
        build(builder.get(), resolve_target("llvm"))
