"""Every network of the matrix comes through the library, and loses no accuracy unnoticed."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from tvm import relax

import tvm_book
from tvm_book import matrix, quantize
from tvm_book._signature import bind_params
from tvm_book.frontend import from_pytorch
from tvm_book.quantize._graph import Graph, op_name
from tvm_book.testing import sqnr_db
from tvm_book.testing.models import MODELS

ACCURATE = quantize.QConfig(preset="accurate")

# As measured (torch 2.13, one thread). Another CPU or version adds in another order, moves ties and
# so single steps; an error in a rule costs far more than the margin.
MARGIN = 3.0
SQNR_DB = {
    "resnet18": 39.1,
    "resnet50": 33.6,
    "mobilenet_v2": 25.5,
    "mobilenet_v3_small": 26.1,
    "efficientnet_b0": 24.7,
    "squeezenet1_1": 30.6,
    "densenet121": 30.1,
    "inception_v3": 27.8,
    "unet": 32.9,
    "unet_bilinear": 31.5,
    "mixer_s16": 35.1,
    "vit_tiny": 31.6,
    "bert_tiny": 33.9,
    "lstm": 31.4,
}


def test_every_network_has_a_measured_sqnr():
    assert SQNR_DB.keys() == MODELS.keys()


@pytest.mark.parametrize("name", MODELS)
def test_network_comes_through(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # there is a rule about every operator
        result = matrix.run_model(MODELS[name])
    assert result.float_error <= result.float_bound < 2e-4
    assert result.sqnr_db >= SQNR_DB[name] - MARGIN
    # sin^2 of the angle is at most noise / signal, and 1 - cos at most sin^2
    assert 1 - result.cosine <= 10 ** (-result.sqnr_db / 10)
    assert result.int8_layers == result.layers > 0
    assert not {entry.op for entry in result.in_float} & {"nn.conv2d", "matmul"}
    assert all(entry.why and entry.why != matrix.NO_RULE for entry in result.in_float)
    assert list(result.seconds) == ["convert", "compile float", "quantize", "compile int8"]


class Around(nn.Module):
    """An operator between two convolutions."""

    def __init__(self, function):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.function = function

    def forward(self, x):
        return self.conv2(self.function(self.conv1(x)))


SHAPE = (1, 3, 8, 8)


def around(function):
    torch.manual_seed(0)
    net = Around(function).eval()
    return net, *from_pytorch(net, [("data", SHAPE)])


def images(seed):
    return np.random.default_rng(seed).normal(size=SHAPE).astype("float32")


def caught(mod, params, config):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        dataset = [{"data": images(seed)} for seed in range(16)]
        return quantize.quantize(mod, params, dataset, config), [str(w.message) for w in warned]


def test_an_operator_without_a_rule_is_quantized_around_with_one_warning():
    net, mod, params = around(lambda x: torch.atan(x) + torch.atan(2 * x))
    qmod, messages = caught(mod, params, ACCURATE)
    assert len(messages) == 1
    assert "has no rule about relax.atan: it stays in float" in messages[0]
    graph = Graph(qmod["main"])
    read = [
        (op_name(expr).removeprefix("relax."), str(expr.args[0].ty.dtype))
        for expr in (graph.bindings[var] for var in graph.post_order())
        if op_name(expr) in ("relax.nn.conv2d", "relax.atan")
    ]
    convolution, float_atan = ("nn.conv2d", "int8"), ("atan", "float32")
    assert sorted(read) == sorted([convolution, float_atan, float_atan, convolution])
    with torch.no_grad():
        wanted = net(torch.from_numpy(images(99))).numpy()
    # Two layers of 8 bits lose about 40 dB; below 30 one of them would have the wrong grid.
    assert sqnr_db(wanted, tvm_book.compile(qmod)(data=images(99))) > 30


def test_with_a_rule_of_the_user_nothing_is_told_and_nothing_stays():
    _, mod, params = around(torch.atan)
    bound = bind_params(mod, params)
    ruled = quantize.QConfig(preset="accurate", rules=[quantize.rules.pointwise("relax.atan")])
    assert matrix.float_operators(bound, ACCURATE) == (matrix.InFloat("atan", 1, matrix.NO_RULE),)
    assert matrix.float_operators(bound, ruled) == ()
    assert caught(mod, params, ruled)[1] == []


def test_reasons():
    def function(x):
        return torch.cumsum(torch.tanh(x), 2) / 8  # what the sum is divided by asks for integers

    _, mod, params = around(function)
    bound = bind_params(mod, params)
    reasons = {e.op: e.why for e in matrix.float_operators(bound, ACCURATE)}
    assert reasons == {
        "tanh": matrix.NOT_READ,
        "cumsum": "its range grows with the length of the sum",
        "divide": matrix.FLOAT_OPERANDS,
    }
    skipped = quantize.QConfig(preset="accurate", skip="conv2")
    reasons = {e.op: (e.count, e.why) for e in matrix.float_operators(bound, skipped)}
    assert reasons["nn.conv2d"] == (1, matrix.SKIPPED)


def test_integers_that_stay_integers_are_not_float_operators():
    x = relax.Var("x", relax.TensorType((2, 2), "int64"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        builder.emit_func_output(builder.emit(relax.op.add(x, x)))
    assert matrix.float_operators(builder.get(), ACCURATE) == ()
