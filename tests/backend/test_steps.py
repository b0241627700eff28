"""What a run calls, and why a call is not an int8 kernel."""

import numpy as np
import tvm
from tvm import relax, te
from tvm.ir import Op, register_op_attr

from tvm_book.backend import build, resolve_target

RNG = np.random.default_rng(0)


def without_kernel(name):
    """An operator that only TVM has loops for."""
    full = f"relax.tvm_book_test.{name}"
    if full not in Op.list_op_names():
        tvm.ir._ffi_api.RegisterOp(full, "Doubles.")
        register_op_attr(full, "FInferType", lambda call, _: call.args[0].ty)
        register_op_attr(full, "FPurity", True)

        def double(x):
            return te.compute(x.shape, lambda *i: x(*i) * 2, name="doubled")

        def legalize(builder, call):
            return builder.call_te(double, call.args[0], primfunc_name_hint=name)

        register_op_attr(full, "FLegalize", legalize)
    return Op.get(full)


def network(quantized):
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((1, 8, 6, 6), "float32"))
    with builder.function("main", [x]):
        value = x
        if quantized:
            scaled = relax.op.multiply(x, relax.const(10, "float32"))
            value = relax.op.astype(relax.op.clip(relax.op.round(scaled), -127, 127), "int8")
            weights = relax.const(RNG.integers(-9, 9, (4, 8, 3, 3)).astype("int8"), "int8")
            value = builder.emit(relax.op.nn.conv2d(value, weights, out_dtype="int32"))
            value = builder.emit(relax.op.right_shift(value, relax.const(4, "int32")))
            value = builder.emit(relax.op.astype(relax.op.clip(value, -127, 127), "int8"))
            value = builder.emit(relax.op.astype(value, "float32"))
        value = builder.emit(relax.Call(without_kernel("no_kernel_here"), [value]), "twice")
        channels = 4 if quantized else 8
        weights = relax.const(RNG.standard_normal((2, channels, 1, 1)).astype("float32"), "float32")
        value = builder.emit(relax.op.nn.conv2d(value, weights))
        builder.emit_func_output(builder.emit(relax.op.nn.softmax(value, axis=1)))
    return builder.finalize()


def steps(mod):
    return build(mod, resolve_target("llvm"), "portable", 1).steps


def test_each_call_and_its_reason():
    found = [s for s in steps(network(True)) if not s.reason.startswith("copy")]
    entry, conv, loops, float_conv, softmax = found
    assert entry.reason == "entry: float values become integers" and entry.dtype == "int8"
    assert (conv.operators[0], conv.dtype, conv.reason) == ("nn.conv2d", "int8", "")
    assert conv.operations == 2 * 4 * 4 * 4 * 8 * 9 and conv.shape == (1, 4, 4, 4)
    assert loops.isa == "TVM loops" and loops.operators == ("tvm_book_test.no_kernel_here",)
    assert loops.reason == "TVM loops: no kernel for tvm_book_test.no_kernel_here"
    assert loops.shape == (1, 4, 4, 4)
    assert float_conv.dtype == "float32" and "skip_conv_layers" in float_conv.reason
    assert softmax.dtype == "float32"
    assert softmax.reason.startswith("float operator: exponentials")  # the quantizer's words
    assert {s.isa for s in found} == {"portable", "TVM loops"}


def test_a_float_model_says_that_it_is_one():
    reasons = {s.operators[0]: s.reason for s in steps(network(False))}
    assert reasons["nn.conv2d"] == "float operator: nothing is quantized"
    assert reasons["nn.softmax"] == "float operator: nothing is quantized"


def test_layers_of_fused_loops():
    """TVM's fusion forgets the names of variables; the paths come back by the operators' order."""
    x = relax.Var("x", relax.TensorType((3,), "float32"))
    operator = without_kernel("no_kernel_here")
    first, second, third = (relax.Var(name, x.ty) for name in (".block.0", ".block.1", ".head"))
    bindings = [
        relax.VarBinding(first, relax.Call(operator, [x])),
        relax.VarBinding(second, relax.op.nn.softmax(first)),
        relax.VarBinding(third, relax.Call(operator, [second])),
    ]
    body = relax.SeqExpr([relax.BindingBlock(bindings)], third)
    main = relax.Function([x], body, x.ty).with_attr("global_symbol", "main")
    mod = relax.transform.Normalize()(tvm.IRModule({"main": main}))
    assert [s.layer for s in steps(mod) if "copy" not in s.operators] == [
        "block.0",
        "block.1",
        "head",
    ]


def test_copies_of_integers_have_a_reason_too():
    x = relax.Var("x", relax.TensorType((1, 8, 6, 6), "int8"))
    weights = relax.const(RNG.integers(-9, 9, (4, 8, 3, 3)).astype("int8"), "int8")
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        sums = builder.emit(relax.op.nn.conv2d(x, weights, out_dtype="int32"))
        builder.emit_func_output(sums)
    found = [(s.operators[0], s.dtype, s.reason.partition(":")[0]) for s in steps(builder.get())]
    copy = [("copy", dtype, "copy") for dtype in ("int8", "int32")]
    assert found == [copy[0], ("nn.conv2d", "int8", ""), copy[1]]
