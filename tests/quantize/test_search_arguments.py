"""What `search` takes: data that can be gone through once, or never alike; and what it refuses."""

import dataclasses

import numpy as np
import pytest
import torch
import tvm
from torch import nn

from tests.quantize.networks import (
    PER_TENSOR,
    TwoInputs,
    TwoOutputs,
    batches,
    imported,
    minus_error,
    spread,
)
from tvm_book.quantize import QConfig, Recipe, quantize, search
from tvm_book.quantize.evaluate import evaluate
from tvm_book.testing import cosine_similarity

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"dataset": None}, ValueError, "search needs data: pass dataset="),
        ({"metric": "sqnr_db"}, ValueError, "metric sqnr_db of the float model itself is inf"),
        ({"metric": lambda a, b: np.nan}, ValueError, "returned NaN"),
        ({"metric": "top1"}, ValueError, "no metric 'top1'"),
        ({"max_drop": -1}, ValueError, "max_drop is -1; give a number that is not negative"),
        ({"max_drop": "1%"}, TypeError, "max_drop is '1%'; give a number"),
        ({"budget": 0}, ValueError, "budget is 0; give the number of trials, at least 1"),
        ({"budget": 1.5}, ValueError, "budget is 1.5; give the number"),
        ({"seconds": float("inf")}, ValueError, "seconds is inf"),
        ({"cost": 3}, TypeError, "cost is a int; give a function"),
        ({"cost": lambda qmod: "slow"}, TypeError, "cost returned a str; return one number"),
        ({"cost": lambda qmod: np.inf}, ValueError, "cost returned inf; return a finite number"),
        ({"seed": None}, TypeError, "seed is None; give a whole number"),
        ({"seed": 1.5}, TypeError, "seed is 1.5; give a whole number"),
        ({"evaluation": []}, ValueError, "evaluation has no batch"),
        ({"evaluation": [{"y": 1}]}, ValueError, "batch 0 of evaluation has an input 'y'"),
        ({"calibrate": ["mes"]}, ValueError, "calibrate has 'mes'; there are global_scale"),
        (
            {"config": dataclasses.replace(PER_TENSOR, calibrate_layers={"layer": "mse"})},
            ValueError,
            "calibrate_layers: 'layer' matches no operator .* did you mean 'layers",
        ),
        ({"config": 7}, TypeError, "config is a int; make one with qconfig"),
    ],
)
def test_bad_arguments(change, error, message):
    mod, params = spread({})
    arguments = {"dataset": batches(), "config": PER_TENSOR} | change
    with pytest.raises(error, match=message):
        search(mod, params, **arguments)


def test_a_tuple_is_refused():
    with pytest.raises(ValueError, match="main returns a tuple, and search compares one tensor"):
        search(*imported(TwoOutputs, (2, 3)), batches(1, (2, 3)))


def test_data_may_be_gone_through_once():
    mod, params = spread({2: 1000})
    options = {"metric": minus_error, "max_drop": 0.05, "config": PER_TENSOR}
    expected = search(mod, params, batches(), calibrate=["mse"], **options)
    once = iter(batches())
    found = search(mod, params, once, evaluation=once, calibrate=iter(["mse"]), **options)
    assert found == expected
    tvm.ir.assert_structural_equal(
        found.quantize(found.trials[0]), quantize(mod, params, batches(), PER_TENSOR)
    )


def test_data_that_are_others_each_time_are_refused():
    """As of a loader that shuffles: the float outputs would be those of other samples."""

    class Turning:
        def __init__(self):
            self.batches = batches(5)

        def __iter__(self):
            self.batches = [*self.batches[1:], self.batches[0]]
            return iter(self.batches)

    mod, params = spread({})
    with pytest.raises(ValueError, match="not the same each time .* do not shuffle them"):
        search(mod, params, batches(), evaluation=Turning(), config=PER_TENSOR)


def test_a_metric_may_work_in_place():
    mod, params = spread({1: 300})
    options = {"max_drop": 0.02, "config": PER_TENSOR}

    def careful(reference, output):
        return minus_error(reference - reference.mean(), output - output.mean())

    def careless(reference, output):
        reference -= reference.mean()
        output -= output.mean()
        return minus_error(reference, output)

    values = [
        [point.value for point in search(mod, params, batches(), metric=metric, **options).trials]
        for metric in (careful, careless)
    ]
    assert values[0] == values[1] and len(values[0]) > 1


def test_a_point_is_made_again_under_the_opt_level_of_its_search():
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3)]
    mod, params = imported(nn.Sequential, (2, 3, 8, 8), *layers)
    data = batches(1, (2, 3, 8, 8))
    config = QConfig(skip_conv_layers=[])
    with tvm.transform.PassContext(opt_level=2):
        found = search(mod, params, data, max_drop=0, budget=3, config=config)
        first = quantize(mod, params, data, config)
    assert found.best != found.trials[0]
    tvm.ir.assert_structural_equal(found.quantize(found.trials[0]), first)
    with pytest.raises(ValueError, match="StructuralEqual"), tvm.transform.PassContext(opt_level=3):
        tvm.ir.assert_structural_equal(quantize(mod, params, data, config), first)


def test_a_constant_may_be_what_is_rounded():
    """It stands where data usually do, so its grid is chosen by the algorithm for data."""

    class Query(nn.Module):
        def __init__(self):
            super().__init__()
            self.key, self.query = nn.Conv2d(3, 4, 1), nn.Parameter(torch.randn(2, 4, 4, 4))

        def forward(self, x):
            return self.query @ self.key(x)

    mod, params = imported(Query, (2, 3, 4, 4))
    data, config = batches(2, (2, 3, 4, 4)), QConfig(preset="accurate")
    found = search(mod, params, data, max_drop=0, budget=5, config=config)
    for point in found.trials[:2]:
        qmod = quantize(mod, params, data, point.config)
        tvm.ir.assert_structural_equal(found.quantize(point), qmod)
        exact, output = evaluate(mod, data, params), evaluate(qmod, data)
        assert point.value == cosine_similarity(exact, output)


def test_a_point_is_given_to_quantize():
    found = search(*spread({}), batches(), budget=1, config=PER_TENSOR)
    with pytest.raises(TypeError, match="point is a str; give one of trials or of front"):
        found.quantize("best")


def test_two_inputs(tmp_path):
    """The recipe of the best point, kept in a file, makes its module, with any input names."""
    mod, params = imported(TwoInputs, (2, 3, 6, 6), names="xy")
    data = batches(2, (2, 3, 6, 6), names="xy")
    config = QConfig(preset="accurate", nbit_weight=3)
    found = search(mod, params, data, max_drop=1e-4, budget=6, config=config)
    assert len(found.trials) > 1
    found.recipe.save(tmp_path / "best.safetensors")
    again = Recipe.load(tmp_path / "best.safetensors").apply(mod, params)
    tvm.ir.assert_structural_equal(again, quantize(mod, params, data, found.best.config))
    renamed = found.recipe.apply(*imported(TwoInputs, (2, 3, 6, 6), names="yx"))
    assert [param.name for param in renamed["main"].params] == ["y", "x"]
    tvm.ir.assert_structural_equal(renamed, again, map_free_vars=True)
