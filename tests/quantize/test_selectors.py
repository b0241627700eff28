"""Which operators ``QConfig.skip`` means, and that they stay in float."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig, quantize, sensitivity
from tvm_book.quantize._graph import Graph, module_path, op_name
from tvm_book.quantize._selectors import select


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.conv2(self.relu(self.conv1(x))) + x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.layer1, self.layer10 = nn.Sequential(Block(), Block()), nn.Sequential(Block())
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        return self.fc(self.layer10(self.layer1(self.conv1(x))).mean((2, 3)))


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return from_pytorch(Net().eval(), [("x", (1, 3, 8, 8))])


LAYERS = [
    "conv1",
    "layer1.0.conv1",
    "layer1.0.conv2",
    "layer1.1.conv1",
    "layer1.1.conv2",
    "layer10.0.conv1",
    "layer10.0.conv2",
    "fc",
]
FIRST = [name for name in LAYERS if name.startswith("layer1.")]
CONVS = LAYERS[:-1]
SELECTORS = {
    "conv1": ["conv1"],
    "fc": ["fc"],
    "layer1": FIRST,  # a module means all inside, and not layer10
    "layer1*": [*FIRST, "layer10.0.conv1", "layer10.0.conv2"],
    "layer1.*": FIRST,
    "layer1.0": FIRST[:2],
    "layer1.?.conv2": [FIRST[1], FIRST[3]],
    "*.conv1": ["layer1.0.conv1", "layer1.1.conv1", "layer10.0.conv1"],
    "layer1[0].0.conv[12]": ["layer10.0.conv1", "layer10.0.conv2"],
    "relax.nn.conv2d": CONVS,
    "relax.nn.conv2d@0": ["conv1"],
    "relax.nn.conv2d@6": ["layer10.0.conv2"],
    "relax.matmul": ["fc"],
    "relax.*": LAYERS,
}


def is_layer(call):
    return op_name(call) in ("relax.nn.conv2d", "relax.matmul")


def float_layers(mod):
    """Paths of the layers that compute in float32, and of those that compute in int32."""
    graph = Graph(mod["main"])
    layers = [var for var in graph.post_order() if is_layer(graph.bindings[var])]
    paths = {"float32": [], "int32": []}
    for var in layers:
        paths[str(var.ty.dtype)].append(module_path(var))
    return paths["float32"], paths["int32"]


@pytest.mark.parametrize("selector", SELECTORS)
def test_what_a_selector_means(net, selector):
    graph = Graph(net[0]["main"])
    chosen = select(graph, [selector])
    found = [v for v in graph.post_order() if v in chosen and is_layer(graph.bindings[v])]
    assert [module_path(var) for var in found] == SELECTORS[selector]


def test_several_selectors_mean_all_of_theirs(net):
    graph = Graph(net[0]["main"])
    both = select(graph, ["conv1", "fc"])
    assert both == select(graph, ["conv1"]) | select(graph, ["fc"])
    assert select(graph, []) == set()


@pytest.mark.parametrize(
    "selector, hint",
    [
        ("conv2", "did you mean 'conv1'"),
        ("layer1.0.conv3", "did you mean 'layer1.0.conv"),
        ("relax.nn.conv1d", "did you mean 'relax.nn.conv2d'"),
        ("relax.nn.conv2d@7", "did you mean 'relax.nn.conv2d@"),
        ("Layer1", "did you mean 'layer1"),
        ("backbone.stage", "modules are conv1, layer1, layer1.0"),
    ],
)
def test_a_selector_that_matches_nothing_is_an_error(net, selector, hint):
    with pytest.raises(ValueError) as error:
        select(Graph(net[0]["main"]), ["conv1", selector])
    message = str(error.value)
    assert message.startswith(f"skip: {selector!r} matches no module and no operator of main; ")
    assert hint in message


def test_without_paths_the_error_names_operators(net):
    graph = Graph(from_pytorch(nn.ReLU().eval(), [("x", (1, 3))])[0]["main"])
    with pytest.raises(ValueError, match="operators are relax.nn.relu$"):
        select(graph, ["zzz"])


def test_a_path_means_itself_though_it_looks_like_a_pattern():
    """Brackets and stars stand in names that ONNX models and dictionaries of modules give."""
    names = ["a[0]", "a0", "b*", "bc"]
    model = nn.Sequential(OrderedDict((name, nn.Linear(4, 4)) for name in names)).eval()
    mod, params = from_pytorch(model, [("x", (2, 4))])
    graph = Graph(mod["main"])
    for name in names:
        assert {module_path(var) for var in select(graph, [name])} == {name}
    assert {module_path(var) for var in select(graph, ["b?"])} == {"b*", "bc"}
    data = [{"x": np.ones((2, 4), "float32")}]
    for layer in sensitivity(mod, params, data, QConfig(**OPTIONS["affine"])):
        assert {module_path(var) for var in select(graph, [layer.selector])} == {layer.path}


OPTIONS = {
    "affine": {"preset": "accurate", "calibrate_mode": "global_scale", "weight_scale": "max"},
    "relay": {"skip_conv_layers": [], "skip_dense_layer": False},
}


@pytest.mark.parametrize("scheme", OPTIONS)
@pytest.mark.parametrize("selector", ["conv1", "layer1.0", "relax.nn.conv2d@6", "fc", "*.conv1"])
def test_skipped_layers_compute_in_float(net, scheme, selector):
    """In both schemes: they are float32 in the module, the others are int32."""
    mod, params = net
    qmod = quantize(mod, params, config=QConfig(skip=selector, **OPTIONS[scheme]))
    floats, integers = float_layers(qmod)
    assert floats == SELECTORS[selector]
    assert sorted(floats + integers) == sorted(LAYERS)


def test_a_wrong_selector_stops_quantize(net):
    mod, params = net
    with pytest.raises(ValueError, match="did you mean 'conv1'"):
        quantize(mod, params, config=QConfig(skip="conv2", **OPTIONS["affine"]))


def test_nothing_left_to_quantize_is_told(net):
    mod, params = net
    with pytest.warns(UserWarning, match="nothing was quantized"):
        quantize(mod, params, config=QConfig(skip="relax.*", **OPTIONS["affine"]))
