"""ONNX operators, one by one, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper
from tvm import relax

from tests.frontend.onnx_graphs import assert_same, check, compute, model
from tvm_book.frontend import UnsupportedModelError, from_onnx
from tvm_book.frontend._onnx_stock import _STOCK

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(2, 4, 7, 9)).astype("float32")
VECTOR = RNG.normal(size=(3, 5)).astype("float32")


def tensor(*shape):
    return RNG.normal(size=shape).astype("float32")


def ints(*values, dtype="int64"):
    return np.array(values, dtype)


def scalar(value, dtype="float32"):
    return np.array(value, dtype)


def single(operator, inputs=(), stored=(), opset=20, dtype=None, results=1, **attributes):
    """Return a model of one node, and its inputs; None stands for an operand left out."""
    operands = [*inputs, *stored]
    names = ["" if x is None else f"x{i}" for i, x in enumerate(operands)]
    given = dict(zip(names[: len(inputs)], inputs, strict=True))
    kept = {n: x for n, x in zip(names[len(inputs) :], stored, strict=True) if x is not None}
    outputs = [f"y{i}" for i in range(results)]
    node = helper.make_node(operator, names, outputs, name="node", **attributes)
    dtype = dtype or str(inputs[0].dtype)
    return model([node], given, dict.fromkeys(outputs, dtype), kept, opset), given


def ops(module):
    bindings = module["main"].body.blocks[0].bindings
    return [b.value.op.name for b in bindings if isinstance(b.value, relax.Call)]


# Each: operator, inputs, stored tensors, attributes.
LAYERS = {
    "conv": ("Conv", [IMAGE], [tensor(6, 4, 3, 3), tensor(6)], {"pads": [1, 1, 1, 1]}),
    "conv asymmetric": (
        *("Conv", [IMAGE], [tensor(6, 4, 3, 2)]),
        {"pads": [0, 1, 2, 0], "strides": [2, 1], "dilations": [1, 2]},
    ),
    "conv same upper": ("Conv", [IMAGE], [tensor(6, 4, 4, 3)], {"auto_pad": "SAME_UPPER"}),
    "conv same lower": (
        *("Conv", [IMAGE], [tensor(6, 4, 4, 3)]),
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    ),
    "conv valid": ("Conv", [IMAGE], [tensor(6, 4, 3, 3)], {"auto_pad": "VALID"}),
    "conv groups": ("Conv", [IMAGE], [tensor(6, 2, 3, 3), tensor(6)], {"group": 2}),
    "conv depthwise": ("Conv", [IMAGE], [tensor(8, 1, 3, 3)], {"group": 4}),
    "conv 1d": ("Conv", [tensor(2, 4, 9)], [tensor(6, 4, 3), tensor(6)], {"strides": [2]}),
    "conv 3d": ("Conv", [tensor(1, 2, 4, 5, 6)], [tensor(3, 2, 2, 2, 2)], {}),
    "conv of inputs": ("Conv", [IMAGE, tensor(6, 4, 1, 1), tensor(6)], [], {}),
    "transposed": ("ConvTranspose", [IMAGE], [tensor(4, 3, 3, 3), tensor(3)], {}),
    "transposed strided": (
        *("ConvTranspose", [IMAGE], [tensor(4, 3, 3, 3)]),
        {"strides": [2, 3], "pads": [1, 0, 1, 2], "output_padding": [1, 1]},
    ),
    "transposed groups": ("ConvTranspose", [IMAGE], [tensor(4, 3, 2, 2)], {"group": 2}),
    "transposed 1d": ("ConvTranspose", [tensor(2, 4, 9)], [tensor(4, 3, 3)], {"strides": [2]}),
    "transposed same": (
        *("ConvTranspose", [IMAGE], [tensor(4, 3, 3, 3)]),
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    "transposed to a shape": (
        *("ConvTranspose", [IMAGE], [tensor(4, 3, 3, 3)]),
        {"strides": [2, 2], "output_shape": [14, 17]},
    ),
    "gemm": ("Gemm", [VECTOR], [tensor(4, 5), tensor(4)], {"transB": 1}),
    "gemm scaled": (
        *("Gemm", [tensor(5, 3)], [tensor(5, 4), tensor(3, 1)]),
        {"transA": 1, "alpha": 0.5, "beta": 2.0},
    ),
    "gemm without bias": ("Gemm", [VECTOR], [tensor(5, 4)], {}),
    "matmul": ("MatMul", [tensor(2, 3, 5)], [tensor(5, 4)], {}),
    "matmul batches": ("MatMul", [tensor(2, 1, 3, 5), tensor(4, 5, 2)], [], {}),
    "matmul vector": ("MatMul", [tensor(2, 3, 5), tensor(5)], [], {}),
    "batch norm": (
        *("BatchNormalization", [IMAGE], [tensor(4), tensor(4), tensor(4), np.abs(tensor(4)) + 1]),
        {"epsilon": 1e-3},
    ),
    "layer norm": ("LayerNormalization", [VECTOR], [tensor(5), tensor(5)], {"epsilon": 1e-3}),
    "layer norm 2 axes": ("LayerNormalization", [IMAGE], [tensor(7, 9)], {"axis": 2}),
    "instance norm": ("InstanceNormalization", [IMAGE], [tensor(4), tensor(4)], {}),
    "lrn": ("LRN", [IMAGE], [], {"size": 3, "alpha": 0.1}),
}

IMAGES = {
    "max pool": ("MaxPool", [IMAGE], [], {"kernel_shape": [3, 2], "strides": [2, 2]}),
    "max pool dilated": ("MaxPool", [IMAGE], [], {"kernel_shape": [2, 2], "dilations": [2, 3]}),
    "max pool same": (
        *("MaxPool", [IMAGE], []),
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
    "average pool same": (
        *("AveragePool", [IMAGE], []),
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    "average pool 1d": (
        "AveragePool",
        [tensor(1, 2, 9)],
        [],
        {"kernel_shape": [4], "pads": [1, 2]},
    ),
    "global average": ("GlobalAveragePool", [IMAGE], [], {}),
    "global average 1d": ("GlobalAveragePool", [tensor(1, 2, 9)], [], {}),
    "global max": ("GlobalMaxPool", [IMAGE], [], {}),
    "global lp": ("GlobalLpPool", [IMAGE], [], {"p": 3}),
    "lp pool": ("LpPool", [IMAGE], [], {"kernel_shape": [2, 3], "strides": [1, 2], "p": 2}),
    "depth to space": ("DepthToSpace", [tensor(1, 8, 2, 3)], [], {"blocksize": 2}),
    "pixel shuffle": ("DepthToSpace", [tensor(1, 8, 2, 3)], [], {"blocksize": 2, "mode": "CRD"}),
    "space to depth": ("SpaceToDepth", [tensor(1, 2, 4, 6)], [], {"blocksize": 2}),
    "grid sample": ("GridSample", [tensor(1, 2, 4, 4), tensor(1, 3, 3, 2)], [], {}),
}

SHAPES = {
    "concat": ("Concat", [VECTOR, tensor(3, 2)], [], {"axis": -1}),
    "split parts": ("Split", [IMAGE], [ints(2, 4, 3)], {"axis": -1, "results": 3}),
    "split evenly": ("Split", [IMAGE], [], {"axis": 3, "num_outputs": 2, "results": 2}),
    "slice": ("Slice", [IMAGE], [ints(1, -6), ints(99, -1), ints(1, -1), ints(1, 2)], {}),
    "slice backwards": ("Slice", [VECTOR], [ints(-1), ints(-99), ints(1), ints(-2)], {}),
    "pad": ("Pad", [VECTOR], [ints(1, 0, 2, 3), scalar(2.5)], {}),
    "pad axes": ("Pad", [IMAGE], [ints(1, 2), None, ints(-2)], {}),
    "pad reflected": ("Pad", [VECTOR], [ints(1, 2, 0, 3)], {"mode": "reflect"}),
    "pad edge": ("Pad", [VECTOR], [ints(1, 2, 0, 3)], {"mode": "edge"}),
    "pad wrapped": ("Pad", [VECTOR], [ints(1, 2, 0, 3)], {"mode": "wrap"}),
    "pad by cutting": ("Pad", [VECTOR], [ints(-1, 2, 0, -3)], {}),
    "reshape": ("Reshape", [IMAGE], [ints(0, -1, 9)], {}),
    "reshape inferring": ("Reshape", [IMAGE], [ints(-1)], {}),
    "flatten": ("Flatten", [IMAGE], [], {"axis": 2}),
    "flatten from the end": ("Flatten", [IMAGE], [], {"axis": -1}),
    "flatten all": ("Flatten", [IMAGE], [], {"axis": 0}),
    "transpose": ("Transpose", [IMAGE], [], {"perm": [0, 2, 3, 1]}),
    "transpose all": ("Transpose", [IMAGE], [], {}),
    "squeeze": ("Squeeze", [tensor(1, 3, 1)], [ints(-1)], {}),
    "squeeze all": ("Squeeze", [tensor(1, 3, 1)], [], {}),
    "unsqueeze": ("Unsqueeze", [VECTOR], [ints(-1, 0)], {}),
    "expand": ("Expand", [tensor(3, 1)], [ints(2, 1, 5)], {}),
    "tile": ("Tile", [VECTOR], [ints(2, 3)], {}),
    "gather": ("Gather", [VECTOR], [ints(-1, 0, 4)], {"axis": 1}),
    "gather one": ("Gather", [VECTOR], [scalar(-2, "int64")], {"axis": 0}),
    "gather at run time": ("Gather", [VECTOR, ints(-1, 1, 2)], [], {}),
    "one hot": (
        *("OneHot", [ints(0, -1, 3, 9)], [scalar(4, "int64"), np.array([0.5, 2], "float32")]),
        {"axis": 0, "dtype": "float32"},
    ),
    "gather elements": ("GatherElements", [VECTOR, ints([0, 2], [1, -1])], [], {"axis": 0}),
    "gather nd": ("GatherND", [VECTOR, ints([0, 1], [2, 4])], [], {}),
    "scatter elements": (
        *("ScatterElements", [VECTOR, ints([0, 2], [1, 0]), tensor(2, 2)], []),
        {"axis": 1},
    ),
    "scatter nd": ("ScatterND", [VECTOR, ints([0], [2]), tensor(2, 5)], [], {}),
    "upper triangle": ("Trilu", [VECTOR], [scalar(1, "int64")], {}),
}

NUMBERS = {
    "clip": ("Clip", [VECTOR], [scalar(-0.5), scalar(1)], {}),
    "clip above": ("Clip", [VECTOR], [None, scalar(0.5)], {}),
    "clip integers": ("Clip", [ints(-9, 0, 9)], [scalar(-1, "int64")], {}),
    "clip at run time": ("Clip", [VECTOR, scalar(-0.5), scalar(1)], [], {}),
    "hard sigmoid": ("HardSigmoid", [VECTOR * 5], [], {}),
    "hard sigmoid down": ("HardSigmoid", [VECTOR], [], {"alpha": -0.5, "beta": 0.25}),
    "elu": ("Elu", [VECTOR], [], {"alpha": 0.5}),
    "prelu": ("PRelu", [IMAGE], [tensor(4, 1, 1)], {}),
    "softplus": ("Softplus", [np.array([-99, -1, 0, 1, 99], "float32")], [], {}),
    "gelu with tanh": ("Gelu", [VECTOR], [], {"approximate": "tanh"}),
    "leaky": ("LeakyRelu", [VECTOR], [], {"alpha": 0.3}),
    "celu": ("Celu", [VECTOR], [], {"alpha": 0.5}),  # by its definition in ONNX
    "softmax": ("Softmax", [IMAGE], [], {"axis": 1}),
    "log softmax": ("LogSoftmax", [IMAGE], [], {"axis": -2}),
    "hardmax": ("Hardmax", [IMAGE], [], {"axis": 1}),
    "power": ("Pow", [np.abs(VECTOR)], [scalar(2, "int64")], {}),
    "divide integers": ("Div", [ints(7, -7, 7, -7), ints(2, 2, -2, -2)], [], {}),
    "modulo": ("Mod", [ints(7, -7, 7, -7), ints(3, 3, -3, -3)], [], {}),
    "modulo of floats": ("Mod", [VECTOR, np.abs(tensor(3, 5))], [], {"fmod": 1}),
    "broadcast": ("Mul", [IMAGE, tensor(4, 1, 1)], [], {}),
    "sum": ("Sum", [VECTOR, tensor(5), tensor(3, 1)], [], {}),
    "mean of tensors": ("Mean", [VECTOR, tensor(5), tensor(3, 1)], [], {}),
    "minimum": ("Min", [VECTOR, tensor(5), tensor(3, 1)], [], {}),
    "maximum": ("Max", [VECTOR, tensor(5)], [], {}),
    "where": ("Where", [VECTOR > 0, VECTOR, tensor(5)], [], {"dtype": "float32"}),
    "cast down": ("Cast", [VECTOR * 9], [], {"to": 7, "dtype": "int64"}),
    "cast to bool": ("Cast", [ints(0, 1, 2)], [], {"to": 9, "dtype": "bool"}),
    "cast like": ("CastLike", [ints(0, 1, 2), VECTOR], [], {"dtype": "float32", "opset": 19}),
    "mean": ("ReduceMean", [IMAGE], [ints(-1, 2)], {"keepdims": 0}),
    "mean of all": ("ReduceMean", [IMAGE], [], {}),
    "mean by attribute": ("ReduceMean", [IMAGE], [], {"axes": [1], "opset": 17}),
    "reduced over nothing": (
        *("ReduceSum", [IMAGE], [np.zeros(0, "int64")]),
        {"noop_with_empty_axes": 1},
    ),
    "argmax": ("ArgMax", [IMAGE], [], {"axis": 1, "keepdims": 0, "dtype": "int64"}),
    "argmin": ("ArgMin", [IMAGE], [], {"axis": -1, "dtype": "int64"}),
    "cumulative": ("CumSum", [VECTOR], [scalar(-1, "int64")], {}),
    "cumulative backwards": (
        *("CumSum", [VECTOR], [scalar(0, "int64")]),
        {"exclusive": 1, "reverse": 1},
    ),
    "einsum": ("Einsum", [tensor(2, 3, 5), tensor(2, 5, 4)], [], {"equation": "b i j, b j k->bik"}),
    "bits": ("BitwiseXor", [ints(1, 2, 3), ints(3, 1, 7)], [], {}),
    "mean variance": ("MeanVarianceNormalization", [IMAGE], [], {}),
    "integer product": (
        *("MatMulInteger", [ints([1, 2], [3, 4], dtype="uint8")]),
        *([ints([5, -6], [7, 8], dtype="int8"), scalar(2, "uint8"), scalar(0, "int8")],),
        {"dtype": "int32"},
    ),
}
CASES = LAYERS | IMAGES | SHAPES | NUMBERS


@pytest.mark.parametrize("name", CASES)
def test_operator(name):
    operator, inputs, stored, options = CASES[name]
    check(*single(operator, inputs, stored, **options))


UNARY = """Abs Asin Asinh Atan Atanh Acos Ceil Cos Cosh Erf Exp Floor Gelu HardSwish Mish Neg
Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softsign Tan Tanh ThresholdedRelu""".split()
BINARY = {
    "float32": "Add Sub Mul Div Greater GreaterOrEqual Less LessOrEqual Equal".split(),
    "int64": "Add Sub Mul Equal Less BitwiseAnd BitwiseOr BitwiseXor".split(),
    "bool": ["And", "Or", "Xor", "Equal"],
}
TESTS = ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal")
REDUCTIONS = "Max Min Sum Prod Mean L1 L2 SumSquare LogSum LogSumExp".split()


def test_functions_of_one_number():
    # in the domain of all of them, with halves, which Round takes to the even neighbour
    x = np.array([-0.9, -0.5, -0.25, 0.125, 0.5, 0.9], "float32")
    nodes = [helper.make_node(name, ["x"], [name]) for name in UNARY]
    check(model(nodes, {"x": x}, dict.fromkeys(UNARY, "float32")), {"x": x})


def test_functions_of_other_domains():
    x = np.array([1.5, 2.5, 1e-3, 40, np.nan], "float32")
    nodes = [helper.make_node(name, ["x"], [name]) for name in ("Acosh", "Log", "Sqrt", "IsNaN")]
    outputs = {"Acosh": "float32", "Log": "float32", "Sqrt": "float32", "IsNaN": "bool"}
    check(model(nodes, {"x": x}, outputs), {"x": x})


@pytest.mark.parametrize("dtype", BINARY)
def test_functions_of_two_numbers(dtype):
    inputs = {name: RNG.integers(-3, 4, (2, 9)).astype(dtype) for name in "ab"}
    inputs["b"][inputs["b"] == 0] = 1
    nodes = [helper.make_node(name, ["a", "b"], [name]) for name in BINARY[dtype]]
    outputs = {name: "bool" if name in TESTS else dtype for name in BINARY[dtype]}
    check(model(nodes, inputs, outputs), inputs)


def test_functions_of_bits():
    inputs = {"x": ints(0, 5, -7), "b": np.array([True, False])}
    nodes = [helper.make_node("BitwiseNot", ["x"], ["y"]), helper.make_node("Not", ["b"], ["c"])]
    check(model(nodes, inputs, {"y": "int64", "c": "bool"}), inputs)


def test_reductions():
    inputs = {"x": np.abs(IMAGE)}
    names = [f"Reduce{name}" for name in REDUCTIONS]
    nodes = [helper.make_node(name, ["x", "axes"], [name], keepdims=0) for name in names]
    outputs = dict.fromkeys(names, "float32")
    check(model(nodes, inputs, outputs, {"axes": ints(1, -1)}), inputs)


def test_results_of_several_kinds():
    x = {"x": VECTOR}
    nodes = [
        helper.make_node("TopK", ["x", "k"], ["values", "places"], axis=0),
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
    ]
    outputs = {"values": "float32", "places": "int64", "q": "uint8", "scale": "float32"}
    check(model(nodes, x, {**outputs, "zero": "uint8"}, {"k": ints(2)}), x)


def test_every_operator_that_is_left_to_tvm_is_tested():
    several = {"TopK", "DynamicQuantizeLinear", "Acosh", "Log", "Sqrt", "IsNaN", "Not"}
    reductions = {f"Reduce{name}" for name in REDUCTIONS}
    binary = {name for names in BINARY.values() for name in names}
    alone = {case[0] for case in CASES.values()}
    tested = several | reductions | binary | alone | set(UNARY) | {"BitwiseNot"}
    assert set(_STOCK) - tested == set()


# Windows: the rules about padding are many.


@settings(max_examples=20)
@given(
    kind=st.sampled_from(["MaxPool", "AveragePool"]),
    size=st.integers(4, 9),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    begin=st.integers(0, 2),
    end=st.integers(0, 2),
    ceil=st.booleans(),
    include=st.booleans(),
)
def test_pools_of_all_kinds(kind, size, kernel, stride, begin, end, ceil, include):
    assume(max(begin, end) < kernel)
    attributes = {"kernel_shape": [kernel, 2], "strides": [stride, 2], "ceil_mode": int(ceil)}
    attributes["pads"] = [begin, 0, end, 1]
    if kind == "AveragePool":
        attributes["count_include_pad"] = int(include)
    check(*single(kind, [tensor(1, 2, size, 5)], opset=22, **attributes))


@settings(max_examples=20)
@given(start=st.integers(-9, 9), end=st.integers(-9, 9), step=st.integers(-3, 3))
def test_slices_of_all_kinds(start, end, step):
    assume(step and len(range(7)[start:end:step]))
    check(*single("Slice", [tensor(7, 2)], [ints(start), ints(end), ints(0), ints(step)]))


RESIZE = {
    "nearest torch": ("nearest", "asymmetric", "floor", [2.0, 3.0]),
    "nearest broken": ("nearest", "asymmetric", "floor", [1.3, 0.7]),
    "nearest half": ("nearest", "half_pixel", "round_prefer_floor", [2.0, 0.5]),
    "nearest ceil": ("nearest", "asymmetric", "ceil", [1.5, 1.5]),
    "nearest corners": ("nearest", "align_corners", "round_prefer_ceil", (13, 5)),
    "linear": ("linear", "half_pixel", None, [2.0, 2.0]),
    "linear broken": ("linear", "half_pixel", None, [1.3, 0.7]),
    "linear torch": ("linear", "pytorch_half_pixel", None, (11, 4)),
    "linear corners": ("linear", "align_corners", None, (13, 5)),
    "linear asymmetric": ("linear", "asymmetric", None, [2.0, 2.0]),
    "cubic": ("cubic", "half_pixel", None, [2.0, 2.0]),
    "cubic corners": ("cubic", "align_corners", None, (13, 5)),
}


@pytest.mark.parametrize("name", RESIZE)
def test_resize(name):
    mode, coordinates, rounding, target = RESIZE[name]
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if rounding:
        attributes["nearest_mode"] = rounding
    if isinstance(target, tuple):
        stored = [None, None, ints(2, 4, *target)]
    else:
        stored = [None, np.array([1, 1, *target], "float32")]
    check(*single("Resize", [IMAGE], stored, **attributes))


@pytest.mark.parametrize("rank", [3, 5])
def test_resize_of_sounds_and_volumes(rank):
    sizes = ints(1, 2, *[7, 5, 6][: rank - 2])
    image = tensor(1, 2, *[4, 5, 3][: rank - 2])
    for mode in ("nearest", "linear"):
        check(*single("Resize", [image], [None, None, sizes], mode=mode))


def recurrent(kind, gates, direction, layout=0, **attributes):
    count = 2 if direction == "bidirectional" else 1
    length, batch, size, hidden = 3, 2, 5, 4
    swap = (lambda shape: (shape[1], shape[0], *shape[2:])) if layout else (lambda shape: shape)
    x, state = tensor(*swap((length, batch, size))), tensor(*swap((count, batch, hidden)))
    weights = [tensor(count, gates * hidden, n) for n in (size, hidden)]
    stored = [*weights, tensor(count, 2 * gates * hidden), None]
    names = ["x", "w", "r", "b", "", "state"]
    arrays = dict(zip(names[1:4], stored[:3], strict=True))
    results = ["every", "last"]
    if kind == "LSTM":
        names.append("cell")
        arrays["cell"] = tensor(*state.shape)
        results.append("last_cell")
    node = helper.make_node(
        *(kind, names, results),
        hidden_size=hidden,
        direction=direction,
        layout=layout,
        **attributes,
    )
    inputs = {"x": x, "state": state}
    return model([node], inputs, dict.fromkeys(results, "float32"), arrays), inputs


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_lstm(direction):
    check(*recurrent("LSTM", 4, direction))


@pytest.mark.parametrize("before", [0, 1])
def test_gru(before):
    check(*recurrent("GRU", 3, "bidirectional", linear_before_reset=before))


def test_rnn():
    check(*recurrent("RNN", 1, "bidirectional"))


# What the graph says in several nodes.


def test_vector_after_a_product_is_a_bias():
    x = {"x": tensor(2, 3, 5)}
    stored = {"w": tensor(5, 4), "b": tensor(4), "c": tensor(3, 4)}
    for names in (["p", "b"], ["b", "p"]):
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["p"]),
            helper.make_node("Add", names, ["y"]),
        ]
        module, _ = check(model(nodes, x, {"y": "float32"}, stored), x)
        assert ops(module) == ["relax.matmul", "relax.reshape", "relax.add"]
    nodes[1] = helper.make_node("Add", ["p", "c"], ["y"])  # no vector
    assert ops(check(model(nodes, x, {"y": "float32"}, stored), x)[0]) == [
        "relax.matmul",
        "relax.add",
    ]


def test_what_depends_on_shapes_and_constants_is_computed_at_import():
    x = {"x": IMAGE}
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Shape", ["x"], ["tail"], start=2),
        helper.make_node("Size", ["x"], ["size"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Constant", [], ["minus"], value_ints=[-1]),
        helper.make_node("Unsqueeze", ["batch", "zeros"], ["rows"]),
        helper.make_node("Concat", ["rows", "minus"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["flat"]),
        helper.make_node("Cast", ["size"], ["number"], to=1),
        helper.make_node("Sqrt", ["number"], ["root"]),
        helper.make_node("Div", ["flat", "root"], ["y"]),
    ]
    stored = {"zero": scalar(0, "int64"), "zeros": ints(0)}
    outputs = {"y": "float32", "tail": "int64"}
    module, params = check(model(nodes, x, outputs, stored), x)
    assert ops(module) == ["relax.reshape", "relax.divide"] and not params


def test_branch_that_is_known_is_taken():
    def branch(name, operator):
        result = helper.make_tensor_value_info(name, 1, None)
        node = helper.make_node(operator, ["x"], [name])
        return helper.make_graph([node], name, [], [result])

    x = {"x": VECTOR}
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Size", ["shape"], ["rank"]),
        helper.make_node("Equal", ["rank", "two"], ["flat"]),
        helper.make_node(
            *("If", ["flat"], ["y"]),
            then_branch=branch("a", "Relu"),
            else_branch=branch("b", "Sigmoid"),
        ),
    ]
    module, _ = check(model(nodes, x, {"y": "float32"}, {"two": scalar(2, "int64")}), x)
    assert ops(module) == ["relax.nn.relu"]


def test_dropout_and_identity_are_nothing():
    x = {"x": VECTOR}
    nodes = [
        helper.make_node("Identity", ["x"], ["a"]),
        helper.make_node("Dropout", ["a"], ["b", "mask"]),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    assert ops(check(model(nodes, x, {"y": "float32"}), x)[0]) == ["relax.nn.relu"]


def test_operator_that_neither_knows_is_taken_apart():
    # the reference that ONNX has for it; ONNX Runtime lacks some of these operators
    x = np.array([-2, -0.5, 0, 3], "float32")
    proto, inputs = single("Swish", [x], opset=24, alpha=1.5)
    assert_same(compute(*from_onnx(proto), inputs), [x / (1 + np.exp(-1.5 * x))])


def test_older_models_are_converted():
    x = {"x": IMAGE}
    nodes = [
        helper.make_node("Squeeze", ["x"], ["a"], axes=[0]),
        helper.make_node("Dropout", ["a"], ["b"], ratio=0.5),
        helper.make_node("Clip", ["b"], ["y"], min=0.0, max=0.5),
    ]
    proto = model(nodes, {"x": IMAGE[:1]}, {"y": "float32"}, opset=9)
    x = {"x": IMAGE[:1]}
    module, _ = check(proto, x)
    assert ops(module) == ["relax.squeeze", "relax.clip"]


def test_functions_of_the_model_are_inlined():
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    body = [helper.make_node("Relu", ["a"], ["t"]), helper.make_node("Neg", ["t"], ["b"])]
    function = helper.make_function("local", "F", ["a"], ["b"], body, opsets[:1])
    x = {"x": VECTOR}
    proto = model([helper.make_node("F", ["x"], ["y"], domain="local")], x, {"y": "float32"})
    proto.functions.append(function)
    proto.opset_import.append(opsets[1])
    assert ops(check(proto, x)[0]) == ["relax.nn.relu", "relax.negative"]


# What cannot be converted is refused, with its place.

REFUSED = {
    "Resize": ([IMAGE], [None, ints(), ints(2, 4, 9, 9)], {"mode": "linear", "antialias": 1}),
    "MaxPool": ([IMAGE], [], {"kernel_shape": [2, 2], "results": 2}),
    "Reshape": ([IMAGE, ints(-1)], [], {}),
    "BatchNormalization": ([IMAGE], [tensor(4) for _ in range(4)], {"training_mode": 1}),
    "LayerNormalization": ([IMAGE], [tensor(1, 9)], {"axis": 2}),
    "Pow": ([ints(2)], [scalar(3, "int64")], {}),
    "ReduceMax": ([VECTOR > 0], [], {}),
    "NonZero": ([VECTOR], [], {"dtype": "int64"}),
    "LSTM": (
        [tensor(3, 2, 5)],
        [tensor(1, 16, 5), tensor(1, 16, 4)],
        {"hidden_size": 4, "clip": 1.0},
    ),
}


@pytest.mark.parametrize("operator", REFUSED)
def test_refused(operator):
    inputs, stored, options = REFUSED[operator]
    stored = [None if x is not None and x.size == 0 else x for x in stored]
    proto, _ = single(operator, inputs, stored, **options)
    with pytest.raises(UnsupportedModelError, match=rf"{operator}|y1"):
        from_onnx(proto)
