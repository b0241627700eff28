"""Quantized ONNX models keep their integers, and compute what ONNX Runtime computes."""

from __future__ import annotations

import functools
import io

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import nn
from tvm import relax
from tvm.ir import GenericConst

import tvm_book
from tests.frontend.onnx_graphs import check, compute, model, runtime
from tvm_book.frontend import UnsupportedModelError, from_onnx, module_path

RNG = np.random.default_rng(0)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class Net(nn.Module):
    """All operators that ONNX Runtime's quantizer knows in both of its formats."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2, 1, groups=8)
        self.conv3, self.relu = nn.Conv2d(8, 8, 1), nn.ReLU()
        self.leaky, self.pool = nn.LeakyReLU(0.25), nn.AvgPool2d(2)
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        x = self.relu(self.conv1(x))
        y = self.conv2(x)
        y = torch.cat([self.leaky(y) + self.conv3(y), y * torch.sigmoid(y)], 1)
        return torch.softmax(self.fc(self.pool(y).mean((2, 3))), 1)


SHAPE = (2, 3, 8, 8)


class Samples(CalibrationDataReader):
    def __init__(self):
        self.left = 8

    def get_next(self):
        self.left -= 1
        return {"data": images(self.left)} if self.left >= 0 else None


def images(seed):
    return np.random.default_rng(seed).normal(size=SHAPE).astype("float32")


@functools.cache
def quantized(form="QDQ", activations="QInt8", per_channel=True):
    torch.manual_seed(0)
    exported = io.BytesIO()
    torch.onnx.export(
        *(Net().eval(), (torch.zeros(SHAPE),), exported), dynamo=False, input_names=["data"]
    )
    file = io.BytesIO()
    quantize_static(
        *(onnx.load_from_string(exported.getvalue()), file, Samples()),
        quant_format=QuantFormat[form],
        activation_type=QuantType[activations],
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
    )
    return onnx.load_from_string(file.getvalue())


KINDS = [
    ("QDQ", "QInt8", True),
    ("QDQ", "QUInt8", True),
    ("QDQ", "QInt8", False),
    ("QOperator", "QUInt8", True),
    ("QOperator", "QInt8", False),
]


def calls(module, name):
    bindings = module["main"].body.blocks[0].bindings
    found = [b for b in bindings if isinstance(b.value, relax.Call)]
    return [b for b in found if b.value.op.name == f"relax.{name}"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind)))
def test_result_is_that_of_onnx_runtime(kind):
    proto = quantized(*kind)
    module, params = from_onnx(proto)
    run = tvm_book.compile(module, params=params)
    step = float(calls(module, "quantize")[-1].value.args[1].value.numpy())
    for seed in (100, 101):
        (expected,) = runtime(proto, {"data": images(seed)})
        steps = np.abs(run(data=images(seed)) - expected) / step
        # A sum in another order may fall on the other side of a half, and moves a result by a step.
        assert steps.max() < 1.01 and (steps > 0.01).sum() <= 1


@pytest.mark.parametrize("per_channel", [True, False])
def test_integers_stay_where_they_are(per_channel):
    proto = quantized("QDQ", "QUInt8", per_channel)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    module, params = from_onnx(proto)
    for name, value in params.items():
        assert str(value.dtype) in ("int8", "int32")
        np.testing.assert_array_equal(value.numpy(), stored[name])
    weights = [n for n in stored if n.endswith("weight_quantized") or n.endswith("bias_quantized")]
    assert sorted(params) == sorted(weights)
    for kind, operator in (("QuantizeLinear", "quantize"), ("DequantizeLinear", "dequantize")):
        nodes = {node.output[0]: node for node in proto.graph.node if node.op_type == kind}
        assert len(calls(module, operator)) == len(nodes)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind)))
def test_form_is_regular(kind):
    proto = quantized(*kind)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    known = {array.tobytes() for array in stored.values()}
    module, params = from_onnx(proto)
    for binding in calls(module, "quantize") + calls(module, "dequantize"):
        call = binding.value
        scale, zero = (arg.value.numpy() for arg in call.args[1:])
        quantizes = call.op.name == "relax.quantize"
        assert str(zero.dtype) == str((binding.var if quantizes else call.args[0]).ty.dtype)
        assert call.attrs.out_dtype == (str(zero.dtype) if quantizes else "float32")
        assert scale.dtype == np.float32 and scale.shape == zero.shape
        is_weight = call.args[0].name in params
        # the scale of a bias in operator format is a product
        assert scale.tobytes() in known or str(zero.dtype) == "int32"
        if is_weight and kind[2]:
            assert int(call.attrs.axis) == 0 and scale.shape == (call.args[0].ty.shape[0],)
        else:
            assert int(call.attrs.axis) == -1 and scale.ndim == 0
    value = {b.var: b.value for b in module["main"].body.blocks[0].bindings}
    for conv in calls(module, "nn.conv2d"):
        x, weight = (value[arg] for arg in conv.value.args)
        assert x.op.name == weight.op.name == "relax.dequantize"
        assert value[x.args[0]].op.name == "relax.quantize" and weight.args[0].name in params


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_quantizers_are_named_after_the_module_that_makes_the_values(form):
    module, _ = from_onnx(quantized(form))
    paths = [module_path(b.var) for b in calls(module, "quantize")]
    assert [path for path in paths if path] == ["conv1", "conv2", "leaky", "conv3", "pool", "fc"]
    assert [module_path(b.var) for b in calls(module, "nn.conv2d")] == ["conv1", "conv2", "conv3"]


# One operator.


def grid(x, scale, zero, axis=None, opset=21, kind="QuantizeLinear", domain=None, **attributes):
    stored = {"scale": scale, **({} if zero is None else {"zero": zero})}
    if axis is not None:
        attributes["axis"] = axis
    node = helper.make_node(kind, ["x", *stored], ["y"], domain=domain, **attributes)
    dtype = (
        "float32" if kind == "DequantizeLinear" else "uint8" if zero is None else str(zero.dtype)
    )
    return model([node], {"x": x}, {"y": dtype}, stored, opset), {"x": x}


HALVES = (np.arange(-1100, 1100) / 8).astype("float32")  # ties, and what is out of range


@pytest.mark.parametrize("opset", [13, 19, 21])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_quantize_rounds_ties_to_even_and_saturates(dtype, opset):
    zero = np.array(7, dtype)
    proto, inputs = grid(HALVES, np.array(0.25, "float32"), zero, opset=opset)
    module, params = check(proto, inputs)
    limits = np.iinfo(dtype)
    exact = np.clip(np.round(HALVES / 0.25) + 7, limits.min, limits.max)
    np.testing.assert_array_equal(compute(module, params, inputs)[0], exact)


def test_quantize_without_zero_point_makes_uint8():
    check(*grid(HALVES, np.array(0.5, "float32"), None))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scales_per_channel(axis):
    x = RNG.normal(size=(3, 4, 5)).astype("float32")
    size = x.shape[axis]
    scale = RNG.uniform(0.01, 0.1, size).astype("float32")
    zero = RNG.integers(-9, 9, size).astype("int8")
    module, _ = check(*grid(x, scale, zero, axis))
    assert int(calls(module, "quantize")[0].value.attrs.axis) == axis % 3
    q = RNG.integers(-128, 128, x.shape).astype("int8")
    check(*grid(q, scale, zero, axis, kind="DequantizeLinear"))


def test_one_channel_is_per_tensor():
    x = RNG.normal(size=(3, 1, 5)).astype("float32")
    module, _ = check(*grid(x, np.array([0.5], "float32"), np.array([3], "int8"), 1))
    call = calls(module, "quantize")[0].value
    assert [len(arg.ty.shape) for arg in call.args[1:]] == [0, 0]
    assert int(call.attrs.axis) == -1 and isinstance(call.args[1], GenericConst)


@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_16_bits(domain):
    scale, zero = np.array(0.01, "float32"), np.array(-5, "int16")
    check(*grid(HALVES, scale, zero, domain=domain))


def test_weights_may_be_quantized_in_the_graph():
    weight, x = RNG.normal(size=(4, 3)).astype("float32"), {"x": HALVES[:6].reshape(2, 3)}
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["q"], axis=0),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], axis=0),
        helper.make_node("Gemm", ["x", "d"], ["y"], transB=1),
    ]
    stored = {"w": weight, "s": np.full(4, 0.01, "float32"), "z": np.zeros(4, "int8")}
    module, params = check(model(nodes, x, {"y": "float32"}, stored), x)
    assert list(params) == ["w"] and len(calls(module, "quantize")) == 1


def test_ties_of_a_layer_are_rounded_alike():
    x = RNG.normal(size=(4, 8, 9, 9)).astype("float32")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "zu"], ["qx"]),
        helper.make_node("DequantizeLinear", ["qx", "s", "zu"], ["dx"]),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["dw"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "sb", "zb"], ["db"], axis=0),
        helper.make_node("Conv", ["dx", "dw", "db"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "sy", "zu"], ["y"]),
    ]
    scales = np.array([0.125, 0.0625] * 3, "float32")  # with these, ties are common
    stored = {
        "s": np.array(0.03125, "float32"),
        "zu": np.array(128, "uint8"),
        "w": RNG.integers(-7, 8, (6, 8, 3, 3)).astype("int8"),
        "sw": scales,
        "zw": np.zeros(6, "int8"),
        "b": RNG.integers(-500, 500, 6).astype("int32"),
        "sb": scales * np.float32(0.03125),
        "zb": np.zeros(6, "int32"),
        "sy": np.array(0.0625, "float32"),
    }
    proto = model(nodes, {"x": x}, {"c": "float32", "y": "uint8"}, stored)
    module, params = from_onnx(proto)
    assert list(params) == ["w", "b"]
    sums, result = compute(module, params, {"x": x})
    expected_sums, expected = runtime(proto, {"x": x})
    # All of these are sums of multiples of a power of two, which float32 holds exactly.
    np.testing.assert_array_equal(sums, expected_sums)
    assert (sums / 0.0625 % 1 == 0.5).sum() > 40
    np.testing.assert_array_equal(result, expected)


REFUSED = {
    "scales per block": grid(
        *(HALVES[:8].reshape(4, 2), np.ones((2, 2), "float32"), np.zeros((2, 2), "int8")),
        *(0,),
        block_size=2,
    ),
    "scales of float16": grid(
        np.zeros(4, "int8"), np.array(0.5, "float16"), np.array(0, "int8"), kind="DequantizeLinear"
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused(reason):
    with pytest.raises(UnsupportedModelError, match=f"Linear cannot be .*makes 'y'.*{reason}"):
        from_onnx(REFUSED[reason][0])


def test_scales_have_to_be_known():
    x, scale = {"x": HALVES, "scale": np.array(0.5, "float32")}, "its scales depend on values"
    node = helper.make_node("QuantizeLinear", ["x", "scale"], ["y"])
    with pytest.raises(UnsupportedModelError, match=scale):
        from_onnx(model([node], x, {"y": "uint8"}))


def test_channels_last_is_refused():
    names = ["x", "s", "z", "s", "z"]
    node = helper.make_node(
        *("QLinearGlobalAveragePool", names, ["y"]), domain="com.microsoft", channels_last=1
    )
    stored = {"s": np.array(0.5, "float32"), "z": np.array(0, "uint8")}
    proto = model([node], {"x": np.zeros((1, 2, 3, 3), "uint8")}, {"y": "uint8"}, stored)
    with pytest.raises(UnsupportedModelError, match="QLinearGlobalAveragePool has channels_last=1"):
        from_onnx(proto)
