"""Small networks that are broken on purpose: the report names the layer and the cause."""

import numpy as np
import pytest
import torch
from torch import nn

from tvm_book import quantize
from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig
from tvm_book.report import layerwise

ACCURATE = {"preset": "accurate", "calibrate_mode": "minmax"}
RELAY = {"preset": "relay", "skip_conv_layers": ()}
SHAPE = (1, 4, 8, 8)


class Two(nn.Module):
    """Two convolutions, with a ReLU between them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(4, 8, 3)
        self.second = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def two():
    """Return it with weights that are the same each time."""
    torch.manual_seed(0)
    return Two().eval().requires_grad_(False)


def samples(shape=SHAPE, scale=1.0):
    rng = np.random.default_rng(0)
    return [{"x": (scale * rng.standard_normal(shape)).astype("float32")} for _ in range(4)]


def report(model, data=None, calibration=None, **options):
    data = samples() if data is None else data
    mod, params = from_pytorch(model, [("x", data[0]["x"].shape)])
    calibration = data if calibration is None else calibration
    qmod = quantize.quantize(mod, params, calibration, config=QConfig(**(options or ACCURATE)))
    return layerwise(mod, qmod, data, params)


def found(made):
    """Return the layers and causes that are found, without what is fine or comes from before."""
    uninteresting = ("fine", "inherited", "made_here", "never_calibrated")
    return {(f.layer, f.kind) for f in made.explain() if f.kind not in uninteresting}


def test_a_whole_network_is_fine():
    made = report(two())
    assert {f.kind for f in made.explain()} == {"fine"}
    assert [row["layer"] for row in made.rows()] == ["first", "second"]
    assert [row["reads"] for row in made.rows()] == [(-1,), (0,)]


def test_a_dead_channel():
    model = two()
    model.first.weight[5], model.first.bias[5] = 0, 0
    made = report(model)
    assert found(made) == {("first", "dead_channel"), ("second", "dead_channel")}
    (first,), (second,) = made.explain().of("first"), made.explain().of("second")
    assert "1 of 8 channels of its weight (5) is 0 throughout" in first.sentence
    assert "1 of 8 channels of its input from " in second.sentence


def test_a_huge_channel_of_a_weight():
    model = two()
    model.first.weight[2] *= 400
    model.second.weight[:, 2] /= 400  # the network computes what it did before
    options = ACCURATE | {"weight_granularity": "tensor", "weight_scale": "max"}
    options |= {"weight_rounding": "nearest", "bias_correction": False}
    made = report(model, **options)
    assert {("first", "dominating_channel"), ("first", "lost_channel")} <= found(made)
    (cause,) = [f for f in made.explain().of("first") if f.kind == "dominating_channel"]
    assert cause.sentence.startswith("channel 2 of its weight stretches the grid of all 8")
    assert 'weight_granularity="channel"' in cause.advice
    advised = report(model, **(options | {"weight_granularity": "channel"}))
    assert "first" not in {layer for layer, _ in found(advised)}


def test_a_huge_channel_of_an_activation_and_the_advice_helps():
    model = two()
    model.first.weight[2] *= 200
    model.first.bias[2] *= 200
    model.second.weight[:, 2] /= 200
    made = report(model)
    assert found(made) == {("second", "dominating_channel")}
    cause = made.explain()[0]
    assert (cause.layer, cause.kind) == ("second", "dominating_channel")
    assert cause.sentence.startswith("channel 2 of its input from ")
    assert "equalize=True" in cause.advice
    advised = report(model, **(ACCURATE | {"equalize": True}))
    assert found(advised) == set()
    assert advised.errors.output_sqnr_db > made.errors.output_sqnr_db + 10


def test_values_beyond_a_constant_range_and_the_advice_helps():
    data = samples(scale=12.0)
    made = report(two(), data, **RELAY)
    cause = made.explain()[0]
    assert (cause.layer, cause.kind, cause.severity) == ("first", "clipped", "high")
    assert "the grid ends at -7.938 and 7.938" in cause.sentence
    assert "global_scale=64" in cause.advice
    advised = report(two(), data, **(RELAY | {"global_scale": 64.0}))
    assert ("first", "clipped") not in found(advised)
    assert advised.errors.output_sqnr_db > made.errors.output_sqnr_db + 10


def test_a_constant_range_that_is_too_wide():
    made = report(two(), samples(scale=0.1), **RELAY)
    causes = [f for f in made.explain().of("first") if f.kind == "few_steps"]
    assert "are used by its input from x" in causes[0].sentence
    assert "global_scale=0.5" in causes[0].advice


def test_calibration_on_other_data():
    made = report(two(), samples(scale=0.01), calibration=samples())
    cause = made.explain()[0]
    assert (cause.layer, cause.kind) == ("first", "few_steps")
    assert "calibrate on data like these" in cause.advice


def test_a_constant_input():
    model = two()
    model.first.bias[:] = -1000.0  # nothing passes the ReLU
    made = report(model)
    assert ("second", "constant_input") in found(made)
    assert made.explain()[0].sentence.endswith(" is 0 in every place of 4 samples")
    assert ("first", "constant_input") not in found(made)


@pytest.mark.parametrize(("depth", "severity"), [(70_000, "medium"), (150_000, "high")])
def test_sums_that_come_near_the_end_of_int32(depth, severity):
    model = nn.Linear(depth, 2, bias=False).eval().requires_grad_(False)
    model.weight[:] = 1.0  # the largest step of the grid
    x = np.full((1, depth), 1.0, "float32")
    x[0, 0] = -1.0  # a grid from -128 to 127
    made = report(model, [{"x": x}])
    (cause,) = [f for f in made.explain() if f.kind == "near_overflow"]
    assert cause.severity == severity
    assert made.explain()[0].kind == "near_overflow"


def test_a_model_that_overflows_in_float():
    model = two()
    model.first.weight[:] *= 1e37
    made = report(model, samples(scale=1e3), calibration=samples(scale=1e-20))
    (cause,) = made.explain().of("second")
    assert (cause.kind, cause.severity) == ("not_finite", "high")
    assert cause.sentence.endswith("is not finite in float: its values end at 0 and inf")


def test_an_error_is_followed_to_where_it_is_made():
    model = two()
    model.first.weight *= 0.02  # what the second one reads fits its grid
    made = report(model, samples(scale=12.0), **RELAY)
    assert ("first", "made_here") in {(f.layer, f.kind) for f in made.explain()}
    (after,) = [f for f in made.explain().of("second") if f.kind == "inherited"]
    assert after.advice.startswith("look at first first (")
    assert made.explain()[0].layer == "first"


def test_bad_arguments_are_those_of_layer_errors():
    mod, params = from_pytorch(two(), [("x", SHAPE)])
    with pytest.raises(ValueError):
        layerwise(mod, mod, samples(), params)
