"""Every bad ONNX model or input gets one clear error."""

from __future__ import annotations

import builtins
import re

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.frontend.onnx_graphs import info, model
from tvm_book.frontend import UnsupportedModelError, from_onnx

X = {"data": np.zeros((1, 3, 4, 4), "float32")}
W = {"w": np.ones((4, 3, 3, 3), "float32")}


def conv(**changes):
    node = helper.make_node("Conv", ["data", "w"], ["y"], name="conv1")
    proto = model([node], X, {"y": "float32"}, W)
    for size in changes.get("sizes", ()):
        proto.graph.input[0].type.tensor_type.shape.dim[size].dim_param = f"size{size}"
    return proto


def fails(error, message, *arguments):
    with pytest.raises(error, match=re.escape(message)):
        from_onnx(*arguments)


# The model.


def test_no_such_file(tmp_path):
    fails(FileNotFoundError, f"there is no file '{tmp_path / 'x.onnx'}'", tmp_path / "x.onnx")


def test_folder(tmp_path):
    fails(IsADirectoryError, "is a folder: pass the .onnx file inside it", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no ONNX model, or an empty one: it computes nothing"),
        (b"hello, this is text", "is no ONNX file, or it is cut off"),
        (b"\x80\x02}q\x00.", "is no ONNX file, or it is cut off"),
    ],
)
def test_file_that_is_not_onnx(tmp_path, content, message):
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    fails(ValueError, message, file)


def test_file_that_is_cut_off_anywhere(tmp_path):
    whole, file = conv().SerializeToString(), tmp_path / "model.onnx"
    for length in range(1, len(whole) - 1, 7):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is no ONNX|is no valid ONNX model"):
            from_onnx(file)


def test_file_with_tensors_is_missing(tmp_path):
    options = {"save_as_external_data": True, "location": "tensors", "size_threshold": 0}
    file = tmp_path / "model.onnx"
    onnx.save(conv(), file, **options)
    (tmp_path / "tensors").unlink()
    fails(ValueError, "keeps tensors in other files, which cannot be read", file)
    bare = onnx.load(file, load_external_data=False)
    fails(ValueError, "tensor 'w' is in another file", bare)


def test_file_with_tensors_is_cut_off(tmp_path):
    options = {"save_as_external_data": True, "location": "tensors", "size_threshold": 0}
    file = tmp_path / "model.onnx"
    onnx.save(conv(), file, **options)
    (tmp_path / "tensors").write_bytes(b"12345678")
    fails(ValueError, "keeps tensors in other files, which cannot be read", file)


@pytest.mark.parametrize(
    ("value", "found"), [(None, "NoneType"), (b"...", "bytes"), (onnx.GraphProto(), "GraphProto")]
)
def test_wrong_type(value, found):
    fails(TypeError, f"path of an .onnx file or an onnx.ModelProto, not {found}", value)


def test_exported_program_of_torch_has_the_model_inside():
    class ONNXProgram:
        model_proto = conv()

    fails(TypeError, "not ONNXProgram: pass its .model_proto", ONNXProgram())


def test_graph_that_is_not_valid():
    proto = conv()
    proto.graph.output[0].type.tensor_type.shape.dim.add()
    proto.graph.node[0].input[0] = "nothing"
    fails(ValueError, "the model is no valid ONNX model: Nodes in a graph must be", proto)


def test_opset_of_the_future():
    proto = conv()
    proto.opset_import[0].version = 999
    fails(UnsupportedModelError, "the model uses opset 999, and the installed onnx knows", proto)


def test_old_model_that_cannot_be_converted(monkeypatch):
    def convert(*_):
        raise RuntimeError("no adapter for Conv")

    monkeypatch.setattr(onnx.version_converter, "convert_version", convert)
    proto = conv()
    proto.opset_import[0].version = 9
    message = "the model uses opset 9, which cannot be converted to 13 (no adapter for Conv)"
    fails(UnsupportedModelError, message, proto)


def test_package_onnx_is_missing(monkeypatch):
    real = builtins.__import__

    def importing(name, *arguments, **options):
        if name == "onnx":
            raise ImportError("No module named 'onnx'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", importing)
    fails(ImportError, 'needs the package onnx: pip install "tvm-book[onnx]"', conv())


# Operators.


def test_unknown_operators_are_named_with_their_nodes():
    nodes = [
        helper.make_node("Conv", ["data", "w"], ["a"], name="conv1"),
        helper.make_node("Det", ["a"], ["b"], name="block/det"),
        helper.make_node("Special", ["b"], ["y"], domain="com.example"),
    ]
    proto = model(nodes, X, {"y": "float32"}, W)
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    message = (
        "there is no conversion for Det (node 'block/det'); com.example.Special "
        "(the node that makes 'y'). Export the model with other operators there"
    )
    fails(UnsupportedModelError, message, proto)


def test_operator_that_does_not_exist():
    node = helper.make_node("Convolution", ["data", "w"], ["y"], name="c")
    message = "there is no conversion for Convolution (node 'c')"
    fails(UnsupportedModelError, message, model([node], X, {"y": "float32"}, W))


def test_branch_that_depends_on_values():
    def branch(operator):
        node = helper.make_node(operator, ["data"], ["b"])
        return helper.make_graph([node], "branch", [], [info("b", X["data"].dtype, None)])

    nodes = [
        helper.make_node("ReduceMax", ["data"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["c"], to=9),
        helper.make_node("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Neg")),
    ]
    message = (
        "If cannot be written in Relax (the node that makes 'y'): its branches depend on values"
    )
    fails(UnsupportedModelError, message, model(nodes, X, {"y": "float32"}))


def test_random_numbers():
    node = helper.make_node("RandomNormalLike", ["data"], ["y"], name="noise")
    message = "there is no conversion for RandomNormalLike (node 'noise')"
    fails(UnsupportedModelError, message, model([node], X, {"y": "float32"}))


def test_shapes_that_do_not_fit():
    node = helper.make_node("MatMul", ["data", "w"], ["y"], name="product")
    message = "MatMul cannot be written in Relax (node 'product')"
    stored = {"w": np.ones((5, 2), "float32")}
    fails(UnsupportedModelError, message, model([node], X, {"y": "float32"}, stored))


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_tensors_of_other_dtypes(dtype):
    node = helper.make_node("Conv", ["data", "w"], ["y"])
    stored = {"w": W["w"].astype(dtype)}
    message = f"tensor 'w' is {dtype}, and only float32 models"
    fails(UnsupportedModelError, message, model([node], X, {"y": "float32"}, stored))


# The inputs.


def test_dynamic_shape_needs_input_shapes():
    message = (
        "input 'data' of the model has a dynamic shape, float32[size0, 3, size2, 4]: fix it with "
        'input_shapes=[("data", (1, ...))]'
    )
    fails(ValueError, message, conv(sizes=(0, 2)))


def test_input_of_unknown_rank_needs_input_shapes():
    proto = conv()
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    fails(ValueError, "input 'data' of the model has a dynamic shape, float32: fix it", proto)
    module, _ = from_onnx(proto, {"data": (1, 3, 4, 4)})
    assert [int(size) for size in module["main"].ret_ty.shape] == [1, 4, 2, 2]


def test_unknown_input():
    message = "input_shapes: the model has no input 'dat'; did you mean 'data'?"
    fails(ValueError, message, conv(), {"dat": (1, 3, 4, 4)})
    fails(ValueError, "no input 'w'; it has data", conv(), [("w", (4, 3, 3, 3))])


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((1, 4, 4, 4), "float32[1, 4, 4, 4]"),
        ((1, 3, 4), "float32[1, 3, 4]"),
        (((1, 3, 4, 4), "int64"), "int64[1, 3, 4, 4]"),
    ],
)
def test_shape_that_does_not_fit(shape, found):
    message = f"input 'data' of the model is float32[size0, 3, 4, 4], which {found} does not fit"
    fails(ValueError, message, conv(sizes=(0,)), {"data": shape})


@pytest.mark.parametrize(
    ("shapes", "error", "message"),
    [
        ({"data": (0, 3, 4, 4)}, ValueError, "contains 0: every size must be at least 1"),
        ({"data": ("n", 3, 4, 4)}, TypeError, "contains 'n': every size must be a fixed integer"),
        ([("data", (1, 3, 4, 4))] * 2, ValueError, "input_shapes names 'data' twice"),
        ((1, 3, 4, 4), TypeError, "input_shapes must be a list of (name, shape) pairs"),
        ("data", TypeError, "input_shapes must be a list of (name, shape) pairs"),
    ],
)
def test_input_shapes_of_a_wrong_form(shapes, error, message):
    fails(error, message, conv(sizes=(0,)), shapes)


def test_input_of_a_dtype_that_relax_functions_do_not_take():
    proto = conv()
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    fails(UnsupportedModelError, "input 'data' is float64, and can be float32, int64", proto)


def test_input_that_is_no_tensor():
    proto = model([helper.make_node("SequenceAt", ["s", "i"], ["y"])], {}, {"y": "float32"})
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [2]))
    proto.graph.input.append(helper.make_value_info("s", sequence))
    proto.graph.input.append(info("i", np.dtype("int64"), []))
    with pytest.raises(UnsupportedModelError, match="input 's' is no tensor"):
        from_onnx(proto)
