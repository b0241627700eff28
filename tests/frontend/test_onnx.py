"""Models that PyTorch exports to ONNX compute in Relax what they compute in PyTorch."""

from __future__ import annotations

import functools
import io
import threading
import warnings

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
import tvm
from torch import nn
from tvm import relax

import tvm_book
from tests.frontend.onnx_graphs import assert_same, model
from tvm_book._signature import bind_params
from tvm_book.frontend import from_onnx, from_pytorch, module_path

EXPORTERS = ("current", "older")
# What torch warns about when a test itself exports.
pytestmark = pytest.mark.filterwarnings(
    *(f"ignore::{kind}" for kind in ("FutureWarning", "DeprecationWarning", "UserWarning")),
    "ignore::torch.jit.TracerWarning",
)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 3, 1, 1), nn.BatchNorm2d(6)
        self.down = nn.Sequential(nn.Conv2d(4, 6, 1, 2, bias=False), nn.BatchNorm2d(6))
        self.relu = nn.ReLU()

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.down(x))


class Mobile(nn.Module):
    def __init__(self):
        super().__init__()
        self.expand, self.act = nn.Conv2d(4, 8, 1), nn.ReLU6()
        self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Hardswish())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Hardsigmoid())
        self.project = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        y = self.depthwise(self.act(self.expand(x)))
        return x + self.project(y * self.gate(y))


class Encoder(nn.Module):
    def __init__(self, width=8, heads=2):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))
        self.heads = heads

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norm2(x))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.lstm, self.fc = nn.Embedding(9, 5), nn.LSTM(5, 4), nn.Linear(4, 3)

    def forward(self, words):
        output, (hidden, _) = self.lstm(self.words(words))
        return self.fc(output[-1]), hidden


def head():
    layers = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(6, 3)
    return nn.Sequential(Residual(), nn.MaxPool2d(2), *layers)


NETWORKS = {
    "cnn": (head, (2, 4, 8, 8)),
    "mobile": (Mobile, (1, 4, 6, 6)),
    "encoder": (Encoder, (2, 5, 8)),
    "mlp": (lambda: nn.Sequential(nn.Linear(7, 9), nn.SiLU(), nn.Linear(9, 3)), (4, 7)),
    "recurrent": (Recurrent, (3, 2)),
}


@functools.cache
def make(network):
    """Return a network in eval mode and an example input."""
    torch.manual_seed(0)
    build, shape = NETWORKS[network]
    net = build().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight.data, module.bias.data, module.running_mean):
                value.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return net, torch.randint(0, 9, shape) if network == "recurrent" else torch.randn(shape)


@functools.cache
def exported(network, exporter):
    net, x = make(network)
    if exporter == "current":
        return torch.onnx.export(
            net, (x,), dynamo=True, verbose=False, input_names=["data"]
        ).model_proto
    file = io.BytesIO()
    torch.onnx.export(net, (x,), file, dynamo=False, input_names=["data"])
    return onnx.load_from_string(file.getvalue())


@functools.cache
def imported(network, exporter):
    return from_onnx(exported(network, exporter))


def flat(results):
    results = results if isinstance(results, tuple) else (results,)
    return [result.detach().numpy() for result in results]


def calls(module):
    bindings = module["main"].body.blocks[0].bindings
    return [
        (module_path(b.var), b.value.op.name.removeprefix("relax."))
        for b in bindings
        if isinstance(b.value, relax.Call)
    ]


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_result_is_that_of_torch(network, exporter):
    net, x = make(network)
    module, params = imported(network, exporter)
    result = tvm_book.compile(module, params=params)(data=x.numpy())
    assert_same(result if isinstance(result, tuple) else [result], flat(net(x)))


@pytest.mark.parametrize("network", ["mobile", "mlp"])
def test_module_is_that_of_from_pytorch(network):
    net, x = make(network)
    expected, expected_params = from_pytorch(net, [("data", x.shape)])
    module, params = imported(network, "older")
    tvm.ir.assert_structural_equal(module, expected)
    assert list(params) == list(expected_params)
    for name, value in params.items():
        np.testing.assert_array_equal(value.numpy(), expected_params[name].numpy())


CONV, LINEAR = ("nn.conv2d", "reshape", "add"), ("permute_dims", "matmul", "reshape", "add")


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_variables_are_named_after_modules(exporter):
    found = calls(imported("cnn", exporter)[0])
    pooled = {"current": "mean", "older": "nn.adaptive_avg_pool2d"}[exporter]
    expected = [
        *(("0.conv1", name) for name in CONV),  # the batch norm is folded into it
        ("0.relu", "nn.relu"),
        *(("0.conv2", name) for name in CONV),
        *(("0.down.0", name) for name in CONV),
        ("0", "add"),
        ("0.relu", "nn.relu"),
        ("1", "nn.max_pool2d"),
        ("2", pooled),
        ("3", "reshape"),
        *(("5", name) for name in LINEAR),
    ]
    if exporter == "older":  # the second call of a module gets a name of its own
        expected[11] = ("0.relu_1", "nn.relu")
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_products_with_stored_matrices_are_linear_layers(exporter):
    found = [call for call in calls(imported("encoder", exporter)[0]) if call[0]]
    linear = [("qkv", name) for name in LINEAR[1:]]
    assert found[:4] == [("norm1", "nn.layer_norm"), *linear]
    assert [c for c in found if c[0] == "mlp.1"] == [("mlp.1", "nn.gelu")]


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_paths_survive_binding_and_folding(exporter):
    module, params = imported("cnn", exporter)
    folded = relax.transform.FoldConstant()(bind_params(module, params))
    kept = [call for call in calls(module) if call[1] not in ("reshape", "permute_dims")]
    assert [c for c in calls(folded) if c[1] != "reshape"] == kept
    again = tvm.script.from_source(folded.script(show_meta=True))
    tvm.ir.assert_structural_equal(again, folded)


def test_names_of_nodes_serve_where_no_module_is_known():
    x = {"x": np.ones((2, 2), "float32")}
    names = ["Relu_0", "block/unit/Neg", "", "/Abs"]
    kinds = ["Relu", "Neg", "Exp", "Abs"]
    values = ["x", "a", "b", "c", "y"]
    nodes = [
        onnx.helper.make_node(kind, [values[i]], [values[i + 1]], name=name)
        for i, (kind, name) in enumerate(zip(kinds, names, strict=True))
    ]
    module, _ = from_onnx(model(nodes, x, {"y": "float32"}))
    assert [path for path, _ in calls(module)] == ["Relu_0", "block.unit", "", ""]


# The names and the values of the parameters.


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_parameters_are_the_initializers(network, exporter):
    module, params = imported(network, exporter)
    names = [variable.name for variable in module["main"].params]
    assert names == ["data", *params]
    assert module["main"].attrs["num_input"] == 1
    stored = {
        t.name: onnx.numpy_helper.to_array(t) for t in exported(network, exporter).graph.initializer
    }
    assert set(params) <= set(stored)
    for name, value in params.items():
        np.testing.assert_array_equal(value.numpy(), stored[name])


def test_scalars_and_integers_are_constants():
    x = {"x": np.ones((3, 2), "float32")}
    stored = {
        "half": np.array(0.5, "float32"),
        "rows": np.array([2, 0]),
        "w": np.ones(2, "float32"),
    }
    nodes = [
        onnx.helper.make_node("Gather", ["x", "rows"], ["a"]),
        onnx.helper.make_node("Mul", ["a", "half"], ["b"]),
        onnx.helper.make_node("Sub", ["b", "w"], ["y"]),
    ]
    _, params = from_onnx(model(nodes, x, {"y": "float32"}, stored))
    assert list(params) == ["w"]


def test_stored_tensors_that_are_also_inputs_are_parameters():
    """Files of old versions list every initializer among the inputs."""
    x, w = np.ones((2, 3), "float32"), np.ones((3, 4), "float32")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    module, params = from_onnx(model([node], {"w": w, "x": x}, {"y": "float32"}, {"w": w}))
    assert [v.name for v in module["main"].params] == ["x", "w"] and list(params) == ["w"]


def test_results_may_be_inputs_and_stored_tensors():
    x, w = np.ones((2, 3), "float32"), np.full(3, 2, "float32")
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    outputs = dict.fromkeys(["x", "y", "w"], "float32")
    module, params = from_onnx(model([node], {"x": x}, outputs, {"w": w}))
    results = tvm_book.compile(module, params=params)(x=x)
    assert_same(list(results), [x, x, w])


# Files and shapes.


def test_path_and_model_give_the_same(tmp_path):
    proto = exported("mobile", "older")
    before = proto.SerializeToString()
    file = tmp_path / "model.onnx"
    onnx.save(proto, file)
    for source in (file, str(file), proto):
        module, params = from_onnx(source)
        tvm.ir.assert_structural_equal(module, imported("mobile", "older")[0])
        assert list(params) == list(imported("mobile", "older")[1])
    assert proto.SerializeToString() == before


def test_tensors_in_a_file_of_their_own_are_read(tmp_path):
    options = {"save_as_external_data": True, "location": "tensors", "size_threshold": 0}
    copied = onnx.ModelProto()
    copied.CopyFrom(exported("mobile", "older"))
    onnx.save(copied, tmp_path / "model.onnx", **options)
    assert (tmp_path / "tensors").exists()
    _, params = from_onnx(tmp_path / "model.onnx")
    for name, value in imported("mobile", "older")[1].items():
        np.testing.assert_array_equal(params[name].numpy(), value.numpy())


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_dynamic_sizes_are_fixed(exporter, tmp_path):
    net, x = make("cnn")
    if exporter == "current":
        sizes = {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1, max=9)},), "dynamo": True}
    else:
        sizes = {"dynamic_axes": {"data": {0: "batch"}}, "dynamo": False}
    file = tmp_path / "model.onnx"
    torch.onnx.export(net, (x,), file, input_names=["data"], verbose=False, **sizes)
    x = torch.randn(3, 4, 8, 8)
    for shapes in ([("data", x.shape)], {"data": x.shape}, {"data": (x.shape, "float32")}):
        module, params = from_onnx(file, shapes)
        assert module["main"].params[0].ty == relax.TensorType(x.shape, "float32")
    assert_same([tvm_book.compile(module, params=params)(data=x.numpy())], flat(net(x)))


# What must stay as it is.


def test_same_model_gives_the_same_text():
    again, _ = from_onnx(exported("encoder", "older"))
    assert again.script(show_meta=True) == imported("encoder", "older")[0].script(show_meta=True)


def test_params_are_copies():
    w = np.ones((3, 4), "float32")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    proto = model([node], {"x": np.ones((2, 3), "float32")}, {"y": "float32"}, {"w": w})
    _, params = from_onnx(proto)
    del proto
    assert params["w"].numpy().sum() == 12


def test_nothing_is_printed_or_warned(capfd):
    proto = exported("recurrent", "older")
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from_onnx(proto)
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")


def test_threads_may_import_at_once():
    results = {}

    def work(network):
        results[network] = from_onnx(exported(network, "older"))[0]

    jobs = ["mlp", "mobile", "encoder"]
    for network in jobs:
        exported(network, "older")
    threads = [threading.Thread(target=work, args=(network,)) for network in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for network in jobs:
        tvm.ir.assert_structural_equal(results[network], imported(network, "older")[0])
