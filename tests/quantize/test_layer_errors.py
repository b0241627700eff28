"""Layer errors: isolated, accumulated, and what was seen of operands, against computing by hand."""

import numpy as np
import pytest
import torch
import tvm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from tvm_book import quantize
from tvm_book.backend import bind_params
from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig, Recipe, layer_errors
from tvm_book.quantize._agreement import Agreement
from tvm_book.quantize._evaluate import Evaluator
from tvm_book.quantize._find_layers import find_layers
from tvm_book.quantize._graph import Graph
from tvm_book.quantize._passes import annotate_passes
from tvm_book.quantize.evaluate import evaluate
from tvm_book.testing import cosine_similarity, sqnr_db
from tvm_book.testing.models import MODELS

ACCURATE = {"preset": "accurate", "calibrate_mode": "minmax"}


def samples(shape, count=4, seed=0):
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal(shape).astype("float32")} for _ in range(count)]


def measured(model, shape, data=None, **options):
    """Return the float module, the quantized one and its layer errors."""
    torch.manual_seed(0)
    mod, params = from_pytorch(model().eval(), [("x", shape)])
    data = samples(shape) if data is None else data
    qmod = quantize.quantize(mod, params, data, config=QConfig(**(options or ACCURATE)))
    return (mod, params), qmod, layer_errors(mod, qmod, data, params)


def test_a_linear_layer_by_hand():
    """x on the grid of 1/100, weights on theirs: the error is what NumPy says it is."""
    data = [{"x": np.array([[-1.27, 1.28, 0.4444]], "float32")}, {"x": np.float32([[0, 1, 2]])}]
    weight = np.float32([[1.27, -0.333, 0.1], [0, 0.6, 1.27]])

    def model():
        layer = nn.Linear(3, 2, bias=False)
        layer.weight = nn.Parameter(torch.from_numpy(weight))
        return layer

    options = ACCURATE | {"weight_scale": "max", "weight_rounding": "nearest"}
    options |= {"bias_correction": False}
    _, _, errors = measured(model, (1, 3), data, **options)
    (layer,) = errors.layers
    x, w = layer.operands
    assert (x.kind, w.kind, x.source, w.source) == ("input", "weight", "x", "const")
    seen = np.concatenate([batch["x"] for batch in data])
    assert (x.minimum, x.maximum) == (seen.min(), seen.max())
    np.testing.assert_array_equal(x.channels, np.abs(seen).max(axis=0))
    np.testing.assert_array_equal(w.channels, np.abs(weight).max(axis=1))

    def rounded(values, operand):
        steps = np.clip(np.round(values / operand.scale), operand.low, operand.high)
        return steps, (steps * operand.scale).astype("float32")

    (x_steps, x_values), (w_steps, w_values) = rounded(seen, x), rounded(weight, _rows(w))
    exact, alone = seen @ weight.T, x_values @ w_values.T
    # float32 sums of three products in whatever order
    assert layer.isolated_sqnr_db == pytest.approx(sqnr_db(exact, alone), abs=1e-4)
    assert layer.isolated_cosine == pytest.approx(cosine_similarity(exact, alone), abs=1e-9)
    assert x.used == (x_steps.max() - x_steps.min() + 1) / (x.high - x.low + 1)
    assert w.used == (w_steps.max() - w_steps.min() + 1) / (w.high - w.low + 1)
    stored = x_steps + x.zero_point
    assert -128 <= stored.min() and stored.max() <= 127
    # the int32 sums are of the stored integers; those around zero are the other bound
    sums = max(np.abs(stored @ w_steps.T).max(), np.abs(x_steps @ w_steps.T).max())
    assert layer.accumulator * 2**31 == pytest.approx(sums, rel=1e-6)
    assert (layer.reads, errors.outputs, errors.samples) == ((-1,), (0,), 2)
    assert layer.operations == 6


def _rows(operand):
    """A linear layer's weight is transposed on the way; its scales then lie along the last axis."""
    return operand.__class__(**vars(operand) | {"scale": operand.scale.reshape(-1, 1)})


def test_saturated_values_are_counted():
    """Calibrated on half the range, a quarter of these values lie outside."""
    mod, params = from_pytorch(nn.Linear(8, 2).eval(), [("x", (1, 8))])
    seen = [{"x": np.float32([[-1, 1, 0, 0, 0, 0, 0, 0]])}]
    qmod = quantize.quantize(mod, params, seen, config=QConfig(**ACCURATE))
    outside = [{"x": np.float32([[-1, 1, 0.5, 0.1, 0.2, 0.3, 2, -2]])}]
    (layer,) = layer_errors(mod, qmod, outside, params).layers
    assert layer.operands[0].saturated == 0.25
    assert layer.operands[0].used == 1
    assert layer.operands[1].saturated == 0


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        y = torch.relu(self.first(x))
        z = self.second(y)
        return z, self.head((y + z).mean((2, 3)))


CONFIGS = {
    "accurate": {"preset": "accurate"},
    "nearest": ACCURATE | {"weight_rounding": "nearest"},
    "no correction": ACCURATE | {"weight_rounding": "nearest", "bias_correction": False},
    "equalized": ACCURATE | {"equalize": True},
    "simulation": ACCURATE | {"do_simulation": True},
    "partitioned": ACCURATE | {"partition_conversions": "enabled"},
    "relay": {"skip_conv_layers": [], "skip_dense_layer": False},
}


@pytest.mark.parametrize("options", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("opt_level", [2, 3])
def test_accumulated_errors_are_those_of_the_quantized_model(options, opt_level):
    """The model returns an inner result: its error is the one that the layer reports."""
    with tvm.transform.PassContext(opt_level=opt_level):
        (mod, params), qmod, errors = measured(Residual, (1, 3, 6, 6), None, **options)
    data = samples((1, 3, 6, 6))
    wanted, got = outputs(mod, params, data), outputs(qmod, None, data)
    worst = min(sqnr_db(a, b) for a, b in zip(wanted, got, strict=True))
    assert errors.output_sqnr_db == pytest.approx(worst, abs=1e-3)  # float32 differences
    if options.get("scheme", options.get("preset")) == "accurate":  # Relay's rounds it once more
        second = next(layer for layer in errors.layers if layer.name == "second")
        assert second.accumulated_sqnr_db == pytest.approx(sqnr_db(wanted[0], got[0]), abs=1e-3)
        assert second.accumulated_cosine == pytest.approx(
            cosine_similarity(wanted[0], got[0]), abs=1e-9
        )


def outputs(mod, params, data):
    """Return every output for all batches, computed without compiling."""
    mod = bind_params(mod, params)
    graph = Graph(mod["main"])
    runs = [Evaluator(graph, [graph.output], mod)(batch)[0] for batch in data]
    return [np.concatenate(parts) for parts in zip(*runs, strict=True)]


def test_the_first_layer_inherits_nothing():
    """Its accumulated error is its isolated one; sums of float and integers differ in order."""
    _, _, errors = measured(Residual, (1, 3, 6, 6))
    first, *others = errors.layers
    assert first.accumulated_sqnr_db == pytest.approx(first.isolated_sqnr_db, abs=1e-3)
    assert all(x.accumulated_sqnr_db < x.isolated_sqnr_db for x in others if x.name == "second")


def test_what_layers_read():
    _, _, errors = measured(Residual, (1, 3, 6, 6))
    names = [layer.name for layer in errors.layers]
    assert names == ["first", "second", "relax.add@1", "relax.mean@0", "head"]
    reads = [[names[i] if i >= 0 else "x" for i in layer.reads] for layer in errors.layers]
    assert reads == [["x"], ["first"], ["first", "second"], ["relax.add@1"], ["relax.mean@0"]]
    assert [names[i] for i in errors.outputs] == ["second", "head"]


def test_bias_correction_counts_as_part_of_its_layer():
    """With a bias or without, the isolated error has the mean error taken out."""

    def shifted():
        model = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 4, 1))
        with torch.no_grad():
            for layer in model:
                layer.weight += 0.3
        return model

    data = [{"x": batch["x"] + 5} for batch in samples((1, 3, 6, 6))]
    options = ACCURATE | {"nbit_weight": 3, "weight_rounding": "nearest"}
    _, _, plain = measured(shifted, (1, 3, 6, 6), data, **options, bias_correction=False)
    _, _, corrected = measured(shifted, (1, 3, 6, 6), data, **options)
    for without, layer in zip(plain.layers, corrected.layers, strict=True):
        assert layer.isolated_sqnr_db > without.isolated_sqnr_db + 3
        assert layer.accumulated_sqnr_db > without.accumulated_sqnr_db + 3


@pytest.mark.parametrize("name", ["mobilenet_v2", "vit_tiny"])
def test_a_selector_means_its_layer(name):
    """Skipped by its selector, a layer is gone, and no other layer with weights is."""
    spec = MODELS[name]
    mod, params = from_pytorch(spec.build(), list(spec.inputs))
    mod = bind_params(mod, params)

    def layers(**options):
        config = QConfig(preset="accurate", **options)
        passes = tvm.transform.Sequential(annotate_passes(config))
        return find_layers(Graph(passes(mod)["main"]))

    heavy = ("conv1d", "conv2d", "matmul")
    all_layers = [layer for layer in layers() if layer.op in heavy]
    assert len({layer.name for layer in all_layers}) == len(all_layers)
    for layer in [all_layers[i] for i in (0, len(all_layers) // 2, -1)]:
        left = [x for x in layers(skip=[layer.selector]) if x.op in heavy]
        assert len(left) == len(all_layers) - 1


def test_the_cost_grows_with_the_layers_not_with_their_square(monkeypatch):
    count, compute = [0], Evaluator._compute

    def counted(self, var, expr, values):
        count[0] += 1
        return compute(self, var, expr, values)

    steps = []
    for depth in (4, 8, 16):
        layers = [layer for _ in range(depth) for layer in (nn.Linear(4, 4), nn.ReLU())]
        torch.manual_seed(0)
        mod, params = from_pytorch(nn.Sequential(*layers).eval(), [("x", (1, 4))])
        data = samples((1, 4))
        qmod = quantize.quantize(mod, params, data, config=QConfig(**ACCURATE))
        with monkeypatch.context() as patch:
            patch.setattr(Evaluator, "_compute", counted)
            count[0] = 0
            layer_errors(mod, qmod, data, params)
        steps.append(count[0])
    assert steps[2] - steps[1] == 2 * (steps[1] - steps[0])


def test_sums_beyond_int32_are_noticed():
    """255 * 127 * 70000 is more than 2**31: the integers wrap around, and the record says so."""

    def model():
        layer = nn.Linear(70000, 1, bias=False)
        nn.init.constant_(layer.weight, 1.0)
        return layer

    options = {"weight_rounding": "nearest", "bias_correction": False, "symmetric_input": False}
    data = [{"x": np.full((1, 70000), 2.0, "float32")}]
    _, _, errors = measured(model, (1, 70000), data, **ACCURATE | options)
    (layer,) = errors.layers
    assert layer.accumulator > 1
    assert layer.accumulated_sqnr_db < 10 < layer.isolated_sqnr_db


def test_global_scale_is_not_calibrated():
    _, _, errors = measured(lambda: nn.Conv2d(3, 4, 3), (1, 3, 6, 6), skip_conv_layers=[])
    conv = errors.layers[0]
    assert [operand.calibrated for operand in conv.operands] == [False, True]


def test_a_layer_that_alone_was_calibrated():
    options = {"skip_conv_layers": [], "calibrate_layers": {"relax.nn.conv2d@0": "percentile"}}
    _, _, errors = measured(Residual, (1, 3, 6, 6), **options)
    first, *others = errors.layers
    assert first.operands[0].calibrated
    assert not any(x.calibrated for layer in others for x in layer.operands if x.kind == "input")


def test_models_that_bring_their_grids():
    builder = tvm.relax.BlockBuilder()
    x = tvm.relax.Var("x", tvm.relax.TensorType((1, 4), "float32"))
    scale, zero = tvm.relax.const(np.float32(0.02)), tvm.relax.const(np.int8(3))
    weight = tvm.relax.const(np.int8([[1, 2], [3, 4], [5, 6], [7, 8]]))
    with builder.function("main", [x]):
        stored = builder.emit(tvm.relax.op.quantize(x, scale, zero, axis=-1, out_dtype="int8"))
        y = builder.emit(tvm.relax.op.dequantize(stored, scale, zero, axis=-1))
        zero_weight = tvm.relax.const(np.int8(0))
        w = builder.emit(tvm.relax.op.dequantize(weight, scale, zero_weight, axis=-1))
        _ = builder.emit_func_output(builder.emit(tvm.relax.op.matmul(y, w)))
    mod = builder.get()
    qmod = quantize.quantize(mod, config=QConfig(preset="accurate"))
    data = [{"x": np.float32([[0.1, -0.5, 1, 2]])}]
    errors = layer_errors(mod, qmod, data)
    (layer,) = errors.layers
    assert layer.operands[0].zero_point == 3
    assert layer.isolated_sqnr_db == pytest.approx(errors.output_sqnr_db, abs=1e-3)


def test_bad_arguments_are_explained():
    (mod, params), qmod, _ = measured(lambda: nn.Linear(3, 2), (1, 3))
    data = samples((1, 3))
    with pytest.raises(ValueError, match="does not know its recipe"):
        layer_errors(mod, mod, data, params)
    with pytest.raises(ValueError, match="of another model"):
        other = {name: value.numpy() + 1 for name, value in params.items()}
        layer_errors(mod, qmod, data, other)
    with pytest.raises(ValueError, match="pass data="):
        layer_errors(mod, qmod, None, params)
    with pytest.raises(ValueError, match="batch 0 of data, input 'x' must have shape"):
        layer_errors(mod, qmod, samples((2, 3)), params)
    with pytest.raises(ValueError, match="pass qmod=, what quantize made of the model"):
        layer_errors(mod, None, data, params)
    recipe = Recipe.of(qmod)
    assert layer_errors(mod, data=data, params=params, recipe=recipe).samples == 4


FINITE = st.floats(-100, 100, width=32)


@given(
    hnp.arrays("float32", (3, 4), elements=FINITE), hnp.arrays("float32", (3, 4), elements=FINITE)
)
def test_agreement_by_batches_is_the_metric_of_all(a, b):
    found = Agreement()
    for x, y in zip(a, b, strict=True):
        found.update(torch.from_numpy(x), torch.from_numpy(y))
    assert found.cosine == pytest.approx(cosine_similarity(a, b), abs=1e-9)
    assert found.sqnr_db == pytest.approx(sqnr_db(a, b), rel=1e-9)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_agreement_with_what_is_no_number(value):
    found, a, b = Agreement(), np.float32([1, 2]), np.float32([1, value])
    found.update(torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_equal(found.sqnr_db, sqnr_db(a, b))
    np.testing.assert_equal(found.cosine, cosine_similarity(a, b))


def test_evaluate_agrees_with_the_output_error():
    (mod, params), qmod, errors = measured(lambda: nn.Conv2d(3, 4, 3), (1, 3, 6, 6))
    data = samples((1, 3, 6, 6))
    exact, quantized = evaluate(mod, data, params), evaluate(qmod, data)
    assert errors.output_sqnr_db == pytest.approx(sqnr_db(exact, quantized), abs=1e-3)
