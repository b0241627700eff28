"""Shortened scripts keep what a reader needs, and nothing that TVMScript adds by itself."""

import numpy as np
import tvm
from tvm import relax

from tvm_book.instrument import PrintIR, compact_script


def convolution():
    x = relax.Var("x", relax.TensorType((1, 2, 4, 4), "float32"))
    weight = relax.const(np.ones((2, 2, 3, 3), "int8"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        narrow = builder.emit(relax.op.astype(relax.op.clip(x, -127, 127), "int8"))
        conv = relax.op.nn.conv2d(narrow, weight, strides=2, padding=1, out_dtype="int32")
        shifted = builder.emit(relax.op.right_shift(builder.emit(conv), relax.const(3, "int32")))
        flat = builder.emit(relax.op.reshape(shifted, (8,)))
        builder.emit_func_output(flat)
    return builder.get()


def test_arguments_that_matter_stay():
    lines = compact_script(convolution()["main"]).splitlines()
    assert lines[:2] == ["@R.function", "def main(x: float32[1,2,4,4]) -> int32[8]:"]
    assert "gv2: int32[1,2,2,2] = R.nn.conv2d(gv1, const[0], strides=[2, 2], " in lines[4]
    assert lines[4].endswith('padding=[1, 1, 1, 1], out_dtype="int32")')
    assert "R.right_shift(gv2, 3)" in lines[5]
    assert "R.reshape(gv3, [8])" in lines[6]


def test_comments_and_defaults_go():
    script = compact_script(convolution())
    for noise in ("# from", "Metadata", "metadata", "layout", "dilation", "groups", "R.Tensor"):
        assert noise not in script


def test_scalar_and_vector_types():
    x, y = (relax.Var(n, relax.TensorType(s, "int8")) for n, s in (("x", ()), ("y", (5,))))
    builder = relax.BlockBuilder()
    with builder.function("main", [x, y]):
        builder.emit_func_output(builder.emit(relax.op.add(x, y)))
    assert "def main(x: int8[], y: int8[5]) -> int8[5]:" in compact_script(builder.get())


def test_print_ir_shortens(capsys):
    with tvm.transform.PassContext(instruments=[PrintIR(compact=True)]):
        relax.transform.DeadCodeElimination()(convolution())
    assert "def main(x: float32[1,2,4,4]) -> int32[8]:" in capsys.readouterr().out
