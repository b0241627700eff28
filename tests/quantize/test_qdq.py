"""Models that bring their own grids: quantize/dequantize pairs become integers."""

import functools
import io
import re

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import nn
from tvm import relax

import tvm_book
from tests.frontend.onnx_graphs import runtime
from tests.quantize.graphs import apply, array, listing, module, op_names, run
from tvm_book.frontend import from_onnx
from tvm_book.quantize import QConfig, quantize, realize_grids
from tvm_book.quantize._graph import Graph, op_name, to_numpy
from tvm_book.quantize.qdq import RecogniseGrids, has_grids

FLOAT = ("relax.quantize", "relax.dequantize")


def const(x, dtype="float32"):
    return relax.const(np.asarray(x, dtype), dtype)


def q(x, scale=0.05, zero_point=-20, dtype="int8", axis=-1):
    return relax.op.quantize(x, const(scale), const(zero_point, dtype), axis, dtype)


def dq(x, scale=0.05, zero_point=-20, dtype="int8", axis=-1):
    return relax.op.dequantize(x, const(scale), const(zero_point, dtype), axis)


def integers(*shape, seed=0, low=-127, high=128, dtype="int8"):
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def recognised(build, **inputs):
    return apply(module(build, **inputs), RecogniseGrids.as_pass())


def lines(mod):
    """`listing`, with roundings written without their numbers."""
    return [re.sub(r"(round\(\w+, \w+).*\)", r"\1)", line) for line in listing(mod)]


def grids(mod):
    """(kind, low, high, scale) of every rounding."""
    graph = Graph(mod["main"])
    calls = [graph.bindings[var] for var in graph.post_order()]
    return [
        (str(c.attrs["kind"]), *(to_numpy(x) for x in (c.args[2], c.args[3], c.args[1])))
        for c in calls
        if op_name(c) == "relax.qnn.simulated_quantize"
    ]


# RecogniseGrids


@pytest.mark.parametrize(
    "dtype, zero_point, ends",
    [
        ("int8", 0, (-128, 127)),
        ("int8", -128, (0, 255)),
        ("uint8", 0, (0, 255)),
        ("uint8", 200, (-200, 55)),
    ],
)
def test_a_pair_becomes_a_grid(dtype, zero_point, ends):
    options = {"zero_point": zero_point, "dtype": dtype}
    mod = recognised(lambda emit, x: emit(dq(emit(q(x, **options)), **options)), x=(2, 3))
    assert lines(mod) == ["round(x, input)", "%0"]
    ((_, low, high, scale),) = grids(mod)
    assert (low, high, scale) == (*ends, np.float32(0.05))


def pairs_apart():
    yield "another scale", lambda emit, x: emit(dq(emit(q(x)), scale=0.06))
    yield "another zero point", lambda emit, x: emit(dq(emit(q(x)), zero_point=3))
    yield "a move between", lambda emit, x: emit(dq(emit(relax.op.flip(emit(q(x)), 0))))
    yield "16 bits", lambda emit, x: emit(dq(emit(q(x, dtype="int16")), dtype="int16"))
    yield (
        "a grid for each channel",
        lambda emit, x: emit(dq(emit(q(x, *CHANNELS, axis=1)), *CHANNELS, axis=1)),
    )


CHANNELS = [0.1, 0.2, 0.3], [1, 2, 3]


@pytest.mark.parametrize("name, build", list(pairs_apart()))
def test_other_pairs_stay(name, build):
    before = apply(module(build, x=(2, 3)))
    assert listing(recognised(build, x=(2, 3))) == listing(before)


def weight(emit, x, stored, scale, zero_point, dtype, axis):
    return emit(relax.op.matmul(x, dq(const(stored, dtype), scale, zero_point, dtype, axis)))


def test_weights_keep_a_grid_for_each_channel():
    stored = integers(3, 4)
    scales = [0.1, 0.2, 0.3, 0.4]
    mod = recognised(lambda emit, x: weight(emit, x, stored, scales, [0] * 4, "int8", 1), x=(2, 3))
    assert lines(mod) == ["round(const, weight)", "matmul(x, %0)", "%1"]
    ((_, low, high, scale),) = grids(mod)
    assert (low, high) == (-128, 127)
    np.testing.assert_array_equal(scale, np.float32(scales).reshape(1, 4))
    graph = Graph(mod["main"])
    values = to_numpy(graph.bindings[graph.post_order()[0]].args[0])
    np.testing.assert_allclose(values, stored * np.float64(scales), rtol=1e-7)


def test_unsigned_weights_are_centred_if_8_bits_hold_them():
    stored = integers(3, 4, low=0, high=256, dtype="uint8")
    mod = recognised(lambda emit, x: weight(emit, x, stored, 0.1, 128, "uint8", -1), x=(2, 3))
    assert lines(mod) == ["round(const, weight)", "matmul(x, %0)", "%1"]
    stored[0, 0] = 255
    mod = recognised(lambda emit, x: weight(emit, x, stored, 0.1, 0, "uint8", -1), x=(2, 3))
    assert lines(mod) == ["matmul(x, const)", "%0"]


@pytest.mark.parametrize(
    "stored, dtype", [(integers(4), "int8"), (integers(1, 4, dtype="int32", high=9999), "int32")]
)
def test_biases_become_float_constants(stored, dtype):
    mod = recognised(
        lambda emit, x: emit(relax.op.add(x, dq(const(stored, dtype), 0.5, 2, dtype))), x=(2, 4)
    )
    assert lines(mod) == ["add(x, const)", "%0"]
    graph = Graph(mod["main"])
    values = to_numpy(graph.bindings[graph.post_order()[0]].args[1])
    np.testing.assert_array_equal(values, (stored.astype("float32") - 2) * np.float32(0.5))


def test_a_transposed_weight_takes_its_grid_along():
    """As ONNX's Gemm with transB=1 is imported."""
    scales, stored = [0.1, 0.2, 0.3, 0.4], integers(4, 3)

    def build(emit, x):
        w = emit(dq(const(stored, "int8"), scales, [0] * 4, axis=0))
        return emit(relax.op.matmul(x, emit(relax.op.permute_dims(w))))

    mod = recognised(build, x=(2, 3))
    assert lines(mod) == ["round(const, weight)", "matmul(x, %0)", "%1"]
    ((*_, scale),) = grids(mod)
    np.testing.assert_array_equal(scale, np.float32(scales).reshape(1, 4))


def test_stored_integers_are_rearranged_before_they_are_recognised():
    def build(emit, x):
        w = emit(relax.op.permute_dims(const(integers(4, 3), "int8")))
        return emit(relax.op.matmul(x, emit(dq(w, [0.1, 0.2, 0.3, 0.4], [0] * 4, axis=1))))

    assert lines(recognised(build, x=(2, 3)))[0] == "round(const, weight)"


# realize_grids


def layer(emit, x):
    x = emit(dq(emit(q(x))))
    w = dq(const(integers(4, 3, 3, 3), "int8"), [0.01, 0.02, 0.03, 0.04], [0] * 4, axis=0)
    bias = dq(
        const(integers(4, 1, 1, low=-500, high=500, dtype="int32"), "int32"), 0.001, 0, "int32"
    )
    y = emit(relax.op.add(emit(relax.op.nn.conv2d(x, emit(w), padding=1)), emit(bias)))
    return emit(dq(emit(q(emit(relax.op.nn.relu(y)), 0.2, -128)), 0.2, -128))


def test_a_layer_computes_in_integers_what_its_pairs_say():
    before = module(layer, x=(1, 3, 6, 6))
    after = realize_grids(before)
    names = op_names(after)
    assert (names[0], names[-1]) == ("quantize", "dequantize")
    graph = Graph(after["main"])
    assert all("int" in str(var.ty.dtype) for var in graph.post_order()[:-1])
    x = array(1, 3, 6, 6, scale=3)
    # the float sums round otherwise than the integers only within 2**-20 of a tie
    np.testing.assert_allclose(run(after, x), run(before, x), rtol=1e-6, atol=0)


def test_quantize_keeps_the_grids_whatever_the_configuration():
    mod = module(layer, x=(1, 3, 6, 6))
    assert has_grids(mod)
    for config in (QConfig(), QConfig(preset="accurate"), QConfig(calibrate_mode="minmax")):
        assert listing(quantize(mod, config=config)) == listing(realize_grids(mod))


def test_requantize_in_float():
    mod = module(layer, x=(1, 3, 6, 6))
    names = op_names(realize_grids(mod, config=QConfig(preset="accurate", requantize="float")))
    assert "round" in names and "right_shift" not in names


def test_a_float_model_has_no_grids():
    mod = module(lambda emit, x: emit(relax.op.nn.relu(x)), x=(2,))
    assert not has_grids(mod)
    assert listing(realize_grids(mod)) == listing(mod)


def test_parameters_are_bound():
    def build(emit, x, w):
        w = emit(dq(w, 0.1, 0))
        return emit(dq(emit(q(emit(relax.op.matmul(emit(dq(emit(q(x)))), w))))))

    mod = module(build, x=(2, 3), w=((3, 4), "int8"))
    stored = integers(3, 4)
    after = realize_grids(mod, {"w": stored})
    assert [param.name for param in after["main"].params] == ["x"]
    assert "matmul" in op_names(after)


# what ONNX Runtime quantized


class Net(nn.Module):
    """A residual block with a depthwise convolution, a gate, concatenation, pools and a head."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.conv3, self.conv4 = nn.Conv2d(8, 8, 1), nn.Conv2d(16, 8, 3, 2, 1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        y = torch.relu(self.conv2(x) + x)
        y = torch.cat([y, self.conv3(y) * torch.sigmoid(x)], 1)
        y = torch.max_pool2d(torch.relu(self.conv4(y)), 2)
        return self.fc(y.mean((2, 3)))


SHAPE = (2, 3, 8, 8)


def images(seed):
    return np.random.default_rng(seed).normal(size=SHAPE).astype("float32")


class Samples(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"data": images(seed)} for seed in range(8)])

    def get_next(self):
        return next(self.batches, None)


@functools.cache
def exported():
    torch.manual_seed(0)
    file = io.BytesIO()
    torch.onnx.export(
        *(Net().eval(), (torch.zeros(SHAPE),), file), dynamo=False, input_names=["data"]
    )
    return file.getvalue()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("activations", ["QInt8", "QUInt8"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_model_quantized_by_onnx_runtime(activations, per_channel):
    file = io.BytesIO()
    quantize_static(
        *(onnx.load_from_string(exported()), file, Samples()),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType[activations],
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
    )
    proto = onnx.load_from_string(file.getvalue())
    mod, params = from_onnx(proto)
    integer = quantize(mod, params)
    graph = Graph(integer["main"])
    first, *between, last = graph.post_order()
    assert [op_name(graph.bindings[v]) for v in (first, last)] == list(FLOAT)
    assert all("int" in str(var.ty.dtype) for var in between)
    run_integer = tvm_book.compile(integer)
    step = float(to_numpy(graph.bindings[last].args[1]))
    errors = []
    for seed in (100, 101, 102):
        (expected,) = runtime(proto, {"data": images(seed)})
        errors.append(np.abs(run_integer(data=images(seed)) - expected) / step)
    # Both round to the nearest step. Float sums of ONNX Runtime may fall on the other side of a tie
    # and move a result by a step: none of these 30 does, one is let pass.
    assert np.max(errors) < 1.01
    assert (np.array(errors) > 0.01).sum() <= 1
