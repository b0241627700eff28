"""Between the first quantize and the last dequantize of a network no float tensor remains."""

import functools

import pytest
import torch

from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig, quantize
from tvm_book.quantize._graph import Graph, op_name
from tvm_book.testing.models import MODELS

# no data is needed to see types
CONFIG = QConfig(preset="accurate", calibrate_mode="global_scale", weight_scale="max")


@functools.lru_cache
def bindings(name):
    """Return (operator, dtype) of every binding of the quantized network, in visiting order."""
    spec = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = spec.construct().eval()
    mod, params = from_pytorch(model, list(spec.inputs))
    graph = Graph(quantize(mod, params, config=CONFIG)["main"])
    return [(op_name(graph.bindings[v]), str(v.ty.dtype)) for v in graph.post_order()]


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v2", "densenet121", "unet", "inception_v3"]
)
def test_all_is_integer_but_the_result(name):
    first, *between, last = bindings(name)
    assert first == ("relax.quantize", "int8")
    assert last == ("relax.dequantize", "float32")
    assert {dtype for _, dtype in between} <= {"int8", "int16", "int32", "int64"}


def test_squeezenet_returns_to_float_where_nothing_rounds_again():
    """Behind its last convolution follow ReLU and a mean, whose result no layer reads."""
    names = bindings("squeezenet1_1")
    floats = [op for op, dtype in names if dtype == "float32"]
    assert floats[0] == "relax.dequantize"
    assert all(dtype == "float32" for _, dtype in names[-len(floats) :])


def test_data_is_stored_in_8_bits_between_layers():
    """Every convolution reads int8 and a constant; what is wider stays within a fused chain."""
    spec = MODELS["resnet18"]
    mod, params = from_pytorch(spec.construct().eval(), list(spec.inputs))
    graph = Graph(quantize(mod, params, config=CONFIG)["main"])
    layers = [
        graph.bindings[var]
        for var in graph.post_order()
        if op_name(graph.bindings[var]) in ("relax.nn.conv2d", "relax.matmul")
    ]
    assert len(layers) == 21
    for call in layers:
        assert [str(arg.ty.dtype) for arg in call.args] == ["int8", "int8"]
        assert str(call.ty.dtype) == "int32"
