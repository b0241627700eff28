"""`sensitivity` against a model in which everything else was really left in float."""

import json
import math

import numpy as np
import pytest
import torch
import tvm
from torch import nn

from tests.quantize.networks import CALIBRATION, EVALUATION, TwoOutputs, batches, imported
from tvm_book._signature import bind_params
from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig, layer_errors, quantize, search, sensitivity
from tvm_book.quantize._evaluate import Evaluator
from tvm_book.quantize._find_layers import find_layers, is_move
from tvm_book.quantize._graph import Graph, Rebuilder, op_name, operands
from tvm_book.quantize._passes import annotate_passes, correction_passes
from tvm_book.quantize.calibrate import Calibrate
from tvm_book.quantize.evaluate import evaluate
from tvm_book.quantize.simulate import Simulate
from tvm_book.testing import cosine_similarity, relative_l2, sqnr_db

SIMULATED = "relax.qnn.simulated_quantize"


pytestmark = pytest.mark.usefixtures("one_thread")
CONFIGS = {
    "accurate": QConfig(preset="accurate"),
    "nearest": QConfig(preset="accurate", weight_rounding="nearest", nbit_weight=4),
    "plain": QConfig(preset="accurate", weight_rounding="nearest", bias_correction=False),
    "constant": QConfig(preset="accurate", calibrate_mode="global_scale"),
    "relay": QConfig(skip_conv_layers=[], skip_dense_layer=False),
    "minmax": QConfig(skip_conv_layers=[], skip_dense_layer=False, calibrate_mode="minmax"),
}


class OnlyOne(Rebuilder):
    """Drop every rounding, but for one reader."""

    def __init__(self, mod, number):
        super().__init__(mod)
        self.layer = find_layers(self.graph)[number].var
        self.rounded = {}

    def visit(self, var, expr):
        if op_name(expr) == SIMULATED:
            self.rounded[var] = self.copy(expr)
            return self[expr.args[0]]
        moved = [self.rounded.get(leaf, self[leaf]) for leaf in operands(expr)]
        if var is not None and var == self.layer:
            return self.emit(expr, moved)
        if is_move(expr):
            self.rounded[var] = self.emit(expr, moved)
        return self.copy(expr)


def by_force(branching, config, number):
    """Quantize with one layer only, through the passes of `quantize`; return both outputs."""
    mod = bind_params(*branching)
    annotated = tvm.transform.Sequential(annotate_passes(config))(mod)
    calibrated = Calibrate.as_pass(config, CALIBRATION)(annotated)
    batches = None if config.calibrate_mode == "global_scale" else CALIBRATION
    passes = [OnlyOne.as_pass(number), *correction_passes(config, batches), Simulate.as_pass()]
    alone = tvm.transform.Sequential(passes)(calibrated)
    return output(annotated), output(alone)


def output(mod):
    graph = Graph(mod["main"])
    run = Evaluator(graph, [graph.output], mod)
    return np.concatenate([run(batch)[0] for batch in EVALUATION])


@pytest.mark.parametrize("name", CONFIGS)
def test_each_layer_costs_what_a_model_with_it_alone_shows(branching, name):
    config = CONFIGS[name]
    found = sensitivity(
        *branching, CALIBRATION, config, metric="cosine_similarity", evaluation=EVALUATION
    )
    by_name = {layer.name: layer for layer in found}
    annotated = tvm.transform.Sequential(annotate_passes(config))(bind_params(*branching))
    layers = find_layers(Graph(annotated["main"]))
    assert set(by_name) == {layer.name for layer in layers}
    assert len(layers) >= 5
    for number, layer in enumerate(layers):
        exact, alone = by_force(branching, config, number)
        # A mean error is subtracted from the layer's result here, and from its bias there: float32
        # sums in another order, 1e-7 of the values, where the errors are 1e-3 of them and more.
        assert by_name[layer.name].sqnr_db == pytest.approx(sqnr_db(exact, alone), abs=0.01)
        assert by_name[layer.name].value == pytest.approx(cosine_similarity(exact, alone), abs=1e-6)


def test_without_corrections_it_is_exact(branching):
    config = CONFIGS["plain"]
    found = sensitivity(*branching, CALIBRATION, config, evaluation=EVALUATION)
    annotated = tvm.transform.Sequential(annotate_passes(config))(bind_params(*branching))
    numbers = {layer.name: n for n, layer in enumerate(find_layers(Graph(annotated["main"])))}
    for layer in found:
        assert layer.sqnr_db == sqnr_db(*by_force(branching, config, numbers[layer.name]))
        assert layer.value == layer.sqnr_db


def test_layers_are_those_of_layer_errors_and_sorted_by_cost(branching):
    config = CONFIGS["accurate"]
    found = sensitivity(*branching, CALIBRATION, config)
    errors = layer_errors(
        branching[0], quantize(*branching, CALIBRATION, config), CALIBRATION, branching[1]
    )
    fields = ("name", "selector", "op", "path", "operations")
    expected = {tuple(getattr(layer, field) for field in fields) for layer in errors.layers}
    assert {tuple(getattr(layer, field) for field in fields) for layer in found} == expected
    ratios = [layer.sqnr_db for layer in found]
    assert ratios == sorted(ratios)
    assert sum(layer.share for layer in found) == pytest.approx(1)
    assert found.samples == 12


def test_selectors_leave_layers_in_float(branching):
    config = CONFIGS["accurate"]
    found = sensitivity(*branching, CALIBRATION, config)
    everything = [layer.selector for layer in found]
    with pytest.warns(UserWarning, match="nothing was quantized"):
        quantize(*branching, CALIBRATION, QConfig(preset="accurate", skip=everything))


def test_a_bad_layer_comes_first():
    """Per tensor and by its largest weight, an outlier takes all steps from the other channels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)]
        model = nn.Sequential(*layers).eval()
    with torch.no_grad():
        model[2].weight[3] *= 3000
        model[4].weight[:, 3] /= 3000
    mod, params = from_pytorch(model, [("x", (8, 16))])
    config = QConfig(skip_dense_layer=False, calibrate_mode="minmax", weight_scale="max")
    data = batches(1, (8, 16))
    found = sensitivity(mod, params, data, config)
    by_path = {layer.path: layer.sqnr_db for layer in found if layer.op == "matmul"}
    assert min(by_path, key=by_path.get) in ("2", "4")
    assert by_path["0"] > 30


def test_a_model_without_layers_has_no_costs():
    mod, params = from_pytorch(nn.Softmax(-1), [("x", (2, 4))])
    found = sensitivity(mod, params, [{"x": np.ones((2, 4), "float32")}], QConfig())
    assert len(found) == 0 and len(found.table().columns) == 4


def test_how_it_shows_itself(branching, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    found = sensitivity(*branching, CALIBRATION, CONFIGS["plain"], metric="top_k_agreement")
    text, page = repr(found), found._repr_html_()
    for layer in found:
        assert layer.name in text and f"{layer.sqnr_db:.1f}" in page
    assert "top_k_agreement" in text and "<table" in page
    document = json.loads(found.to_json())
    assert document["layers"][0]["name"] == found.layers[0].name
    assert document["layers"] == [
        {key: "Infinity" if value == math.inf else value for key, value in row.items()}
        for row in found.rows()
    ]


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"dataset": None}, ValueError, "sensitivity needs data: pass dataset="),
        ({"dataset": []}, ValueError, "dataset has no batch"),
        ({"config": {}}, TypeError, "config is a dict; make one with qconfig"),
        ({"metric": "cosine"}, ValueError, "no metric 'cosine'; there are cosine_similarity"),
        ({"metric": "l2loss"}, ValueError, "no metric 'l2loss'; did you mean 'l2_loss'"),
        ({"metric": 3}, TypeError, "metric is a int; give a name"),
        ({"metric": lambda a, b: "x"}, TypeError, "returned a str; return one number"),
        ({"metric": lambda a, b: math.nan}, ValueError, "returned NaN"),
        ({"evaluation": [{"y": 1}]}, ValueError, "has an input 'y'"),
    ],
)
def test_bad_arguments(branching, change, error, message):
    mod, params = branching
    arguments = {"dataset": CALIBRATION, "config": CONFIGS["plain"]} | change
    with pytest.raises(error, match=message):
        sensitivity(mod, params, **arguments)


def test_a_tuple_is_refused():
    with pytest.raises(ValueError, match="main returns a tuple, and sensitivity compares one"):
        sensitivity(*imported(TwoOutputs, (2, 3)), batches(1, (2, 3)))


class Logarithm(nn.Module):
    """A weight of 1e-4 beside 1: on one grid it becomes 0, and the logarithm minus infinity."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(torch.eye(8))
            self.fc.weight[0, 0] = 1e-4

    def forward(self, x):
        return self.fc(x).abs().log()


COARSE = QConfig(skip_dense_layer=False, calibrate_mode="minmax")


@pytest.mark.parametrize("metric", ["sqnr_db", "cosine_similarity", "l2_loss"])
def test_an_output_that_rounding_made_infinite_is_as_bad_as_can_be(metric):
    mod, params = imported(Logarithm, (2, 8))
    (layer,) = sensitivity(mod, params, batches(1, (2, 8)), COARSE, metric=metric)
    assert layer.sqnr_db == layer.value == -math.inf
    found = search(mod, params, batches(1, (2, 8)), config=COARSE)
    assert (found.trials[0].value, found.best.config.skip) == (-math.inf, ("fc",))
    assert json.loads(found.to_json())["trials"][0]["drop"] == "Infinity"


def test_a_float_model_that_returns_infinity_needs_a_metric_for_it():
    mod, params = imported(Logarithm, (2, 8))
    data = [{"x": np.zeros((2, 8), "float32")}]
    with pytest.raises(ValueError, match="cosine_similarity is NaN, as the float model itself"):
        search(mod, params, data, config=COARSE)


def test_a_model_that_returns_a_number():
    class Mean(nn.Linear):
        def forward(self, x):
            return super().forward(x).mean()

    mod, params = imported(Mean, (4, 8), 8, 8)
    data = batches(3, (4, 8))
    found = sensitivity(mod, params, data, COARSE)
    exact = evaluate(mod, data, params)
    assert exact.shape == (3,) and found.samples == 12
    best = search(mod, params, data, config=COARSE, metric="relative_l2", max_drop=0.5).best
    assert best.value == -relative_l2(exact, evaluate(quantize(mod, params, data, COARSE), data))
