"""`search`: finds what is planted, is repeatable, and its points can be made again."""

import dataclasses
import functools
import itertools
import json
import warnings

import numpy as np
import pytest
import torch
import tvm
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.quantize.test_sensitivity import CALIBRATION, EVALUATION, Net, tuple_model
from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig, quantize, search
from tvm_book.quantize._front import chosen, front
from tvm_book.quantize._graph import Graph
from tvm_book.quantize._passes import annotate_passes
from tvm_book.quantize._trials import integer_share
from tvm_book.quantize.calibrate._fingerprint import value_keys
from tvm_book.quantize.calibrate._modes import activation_vars
from tvm_book.quantize.evaluate import evaluate
from tvm_book.testing import relative_l2

RNG = np.random.default_rng(0)
PER_TENSOR = QConfig(skip_dense_layer=False, calibrate_mode="minmax", weight_scale="max")


class Spread(nn.Module):
    """Linear layers between tanh; of the chosen ones, one row has weights that are far larger.

    The tanh behind hides how large that row's result is, and the largest weight sets the step of
    all the others.
    """

    def __init__(self, sizes, bad):
        super().__init__()
        pairs = zip(sizes[:-1], sizes[1:], strict=True)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        with torch.no_grad():
            for number, scale in bad.items():
                self.layers[number].weight[0] *= scale

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x


def spread(bad, sizes=(16, 24, 32, 24, 16, 8)):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return from_pytorch(Spread(sizes, bad).eval(), [("x", (16, sizes[0]))])


def batches(count=2, width=16, seed=0):
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal((16, width)).astype("float32")} for _ in range(count)]


def minus_error(reference, output):
    return -relative_l2(reference, output)


@pytest.fixture(autouse=True)
def one_thread():
    """So small are these networks that threads would only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return from_pytorch(Net().eval(), [("x", (4, 3, 8, 8))])


def plan(point):
    return point.config, point.value, point.drop, point.share, point.cost, point.note


@pytest.mark.parametrize("bad", [0, 1, 2, 3, 4])
def test_one_bad_layer_is_found_and_nothing_else_stays_in_float(bad):
    mod, params = spread({bad: 1000})
    found = search(mod, params, batches(), metric="relative_l2", max_drop=0.1, config=PER_TENSOR)
    assert found.satisfied
    assert found.best.config.skip == (f"layers.{bad}",)
    assert found.trials[0].drop > 0.1
    assert found.metric == "-relative_l2" and found.float_value == 0


SIZES = [(16, 24), (24, 32), (32, 24), (24, 16), (16, 8)]


@functools.cache
def every_way(bad):
    """Error and integer share of all 32 ways to leave layers in float."""
    mod, params = spread(dict(bad))
    data = batches()
    exact, found = evaluate(mod, data, params), []
    operations = {f"layers.{i}": a * b for i, (a, b) in enumerate(SIZES)}
    for count in range(6):
        for names in itertools.combinations(operations, count):
            config = dataclasses.replace(PER_TENSOR, skip=names)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # nothing left to quantize
                qmod = quantize(mod, params, data, config)
            share = 1 - sum(map(operations.get, names)) / sum(operations.values())
            found.append((relative_l2(exact, evaluate(qmod, data)), share))
    return found


@pytest.mark.parametrize("bad", [{0: 300, 3: 300}, {1: 100, 2: 30, 4: 1000}])
@pytest.mark.parametrize("max_drop", [0.1, 0.03, 0.015])
def test_nothing_beats_it_of_all_sets_of_layers(bad, max_drop):
    mod, params = spread(bad)
    found = search(
        mod,
        params,
        batches(),
        metric=minus_error,
        max_drop=max_drop,
        config=PER_TENSOR,
        calibrate=(),
    )
    shares = [share for error, share in every_way(tuple(bad.items())) if error <= max_drop]
    assert found.satisfied
    assert found.best.share == pytest.approx(max(shares))
    assert len(found.trials) < 32


def test_another_algorithm_is_preferred_to_float():
    """One outlier among the data takes minmax's steps; to cut it off costs no integers."""
    mod, params = spread({})
    data = batches(4)
    data[0]["x"][0, 0] = 3000
    config = dataclasses.replace(PER_TENSOR, percentile=99)
    found = search(
        mod, params, data, metric=minus_error, max_drop=0.05, config=config, evaluation=batches()
    )
    assert found.satisfied and found.best.share == 1
    assert found.best.config.skip == ()
    layers = dict(found.best.config.calibrate_layers)
    assert found.best.config.calibrate_mode == "minmax" and "layers.0" in layers


OPTIONS = {
    "relay": {"config": QConfig(skip_conv_layers=[], skip_dense_layer=False)},
    "minmax": {"config": QConfig(skip_conv_layers=[], calibrate_mode="minmax", nbit_weight=4)},
    "accurate": {"config": QConfig(preset="accurate", nbit_weight=3, nbit_input=4)},
    "simulated": {
        "config": QConfig(preset="accurate", nbit_weight=4, do_simulation=True, skip="right")
    },
    "layers": {"config": QConfig(preset="accurate", nbit_input=3, calibrate_layers={"fc": "mse"})},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_each_point_can_be_made_again_bit_for_bit(net, name):
    found = search(
        *net, CALIBRATION, max_drop=1e-5, budget=7, evaluation=EVALUATION, **OPTIONS[name]
    )
    assert 3 <= len(found.trials) <= 7
    exact = evaluate(net[0], EVALUATION, net[1])
    for point in found.trials:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            qmod = quantize(*net, CALIBRATION, config=point.config)
        annotated = tvm.transform.Sequential(annotate_passes(point.config))(found._subject.mod)
        assert point.share == integer_share(Graph(annotated["main"]))
        output = evaluate(qmod, EVALUATION)
        cosine = found.float_value - point.drop
        assert cosine == pytest.approx(point.value, abs=1e-12)
        assert point.value == _cosine(exact, output)
        if point == found.best:
            tvm.ir.assert_structural_equal(found.quantize(), qmod)
    given = OPTIONS[name]["config"]
    assert found.trials[0].config == given
    assert all(set(given.skip) <= set(point.config.skip) for point in found.trials)
    other = next(point for point in found.trials if point != found.best)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        tvm.ir.assert_structural_equal(
            found.quantize(other), quantize(*net, CALIBRATION, config=other.config)
        )


def _cosine(a, b):
    from tvm_book.testing import cosine_similarity

    return cosine_similarity(a, b)


def test_equal_arguments_give_equal_trials():
    mod, params = spread({0: 300, 1: 50, 3: 300})
    options = {"metric": minus_error, "max_drop": 0.02, "config": PER_TENSOR, "seed": 5}
    first, second = (search(mod, params, batches(), **options) for _ in range(2))
    assert list(map(plan, first.trials)) == list(map(plan, second.trials))
    assert first == second
    assert first.best in first.front and len(first.best.config.skip) == min(
        len(point.config.skip)
        for point in first.trials
        if (point.value, point.share) == (first.best.value, first.best.share)
    )


def test_the_budget_is_kept_and_time_too():
    mod, params = spread({0: 300, 1: 300, 3: 300})
    options = {"metric": minus_error, "max_drop": 1e-3, "config": PER_TENSOR}
    for budget in (1, 3):
        found = search(mod, params, batches(), budget=budget, **options)
        assert len(found.trials) == budget and not found.satisfied
        assert f"No trial of {budget}" in found.statement
        assert found.best == max(found.trials, key=lambda point: point.value)
    assert len(search(mod, params, batches(), seconds=0, **options).trials) == 1
    told = []
    full = search(mod, params, batches(), progress=told.append, **options)
    assert told == list(full.trials)
    assert [point.number for point in told] == list(range(len(told)))
    assert full.trials[:3] == search(mod, params, batches(), budget=3, **options).trials


def test_ctrl_c_returns_the_best_so_far():
    mod, params = spread({0: 300, 3: 300})
    options = {"metric": minus_error, "max_drop": 0.02, "config": PER_TENSOR}
    whole = search(mod, params, batches(), **options)
    assert not whole.interrupted and len(whole.trials) > 4

    def stop(point):
        if point.number == 3:
            raise KeyboardInterrupt

    told = search(mod, params, batches(), progress=stop, **options)
    assert told.interrupted and told.trials == whole.trials[:4]
    assert "The search was interrupted." in told.statement
    expected = quantize(mod, params, batches(), config=told.best.config)
    tvm.ir.assert_structural_equal(told.quantize(), expected)

    calls = []

    def interrupted_metric(reference, output):
        calls.append(1)
        if len(calls) == 4:  # float, two trials, and in the middle of the third one
            raise KeyboardInterrupt
        return minus_error(reference, output)

    half = search(mod, params, batches(), **options | {"metric": interrupted_metric})
    assert half.interrupted and len(half.trials) == 2

    def at_once(reference, output):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(mod, params, batches(), **options | {"metric": at_once})


def test_labels_may_decide():
    """A callable closes over labels; the share of right answers moves in whole samples."""
    mod, params = spread({2: 1000})
    data = batches(4)
    labels = evaluate(mod, data, params).argmax(1)

    def top1(_reference, output):
        return (output.argmax(1) == labels).mean()

    found = search(mod, params, data, metric=top1, max_drop=0.05, config=PER_TENSOR)
    assert found.float_value == 1 and found.metric == "top1"
    assert found.best.config.skip == ("layers.2",) and found.best.value >= 0.95


def test_a_cost_takes_the_place_of_the_integer_share():
    mod, params = spread({0: 300, 3: 300})
    seen = []

    def cost(qmod):
        seen.append(qmod)
        return len(Graph(qmod["main"]).post_order())

    options = {"metric": minus_error, "max_drop": 0.02, "config": PER_TENSOR}
    found = search(mod, params, batches(), cost=cost, **options)
    assert [point.cost for point in found.trials] == list(map(cost, seen[: len(found.trials)]))
    fine = [point for point in found.trials if point.drop <= 0.02]
    assert found.best.cost == min(point.cost for point in fine)
    assert [p.cost for p in found.front] == sorted(p.cost for p in found.front)
    assert "cost" in repr(found) and json.loads(found.to_json())["trials"][0]["cost"] > 0


def test_enough_is_enough():
    mod, params = spread({})
    found = search(mod, params, batches(), max_drop=0.1, config=PER_TENSOR)
    assert len(found.trials) == 1 and found.best.note == "as given" and found.satisfied


def test_a_model_of_which_nothing_is_quantized_stays_as_it_is():
    mod, params = from_pytorch(nn.Softmax(-1), [("x", (2, 4))])
    found = search(mod, params, [{"x": np.ones((2, 4), "float32")}], config=QConfig())
    assert (found.best.share, found.best.drop) == (0, 0)


def test_how_it_shows_itself():
    mod, params = spread({1: 1000})
    found = search(mod, params, batches(), metric=minus_error, max_drop=0.05, config=PER_TENSOR)
    document = json.loads(found.to_json())
    assert document["trials"] == found.rows() and document["satisfied"] is True
    assert [row["number"] for row in found.rows() if row["best"]] == [found.best.number]
    assert {row["number"] for row in found.rows() if row["front"]} == {
        point.number for point in found.front
    }
    assert "layers.1" in repr(found) and "layers.1" in found._repr_html_()
    assert f"Trial {found.best.number} of {len(found.trials)} trials drops" in found.statement
    assert found.table(all_trials=True).row_count == len(found.trials)
    assert found.table().row_count == len(found.front)
    axes = found.plot().axes[0]
    tried, line, ring, *bounds = axes.lines
    assert len(tried.get_xdata()) == len(found.trials)
    assert line.get_ydata().tolist() == [point.value for point in found.front]
    assert ring.get_xdata().tolist() == [100 * found.best.share]
    assert [b.get_ydata()[0] for b in bounds] == [0, -0.05]


POINTS = st.lists(st.tuples(*[st.integers(-4, 4)] * 2), min_size=1, max_size=30)


def beats(a, b):
    return a != b and a[0] >= b[0] and a[1] >= b[1]


@given(POINTS)
def test_the_front_is_what_no_point_beats(points):
    found = [points[index] for index in front(points)]
    expected = {b for b in points if not any(beats(a, b) for a in points)}
    assert set(found) == expected and len(found) == len(expected)
    assert [y for _, y in found] == sorted((y for _, y in found), reverse=True)
    assert [points.index(point) for point in found] == front(points)


@given(POINTS, st.integers(-5, 5))
def test_the_chosen_point_is_on_the_front(points, least):
    index = chosen(points, least)
    assert index in front(points)
    fine = [second for first, second in points if first >= least]
    if fine:
        assert points[index][0] >= least and points[index][1] == max(fine)
    else:
        assert points[index][0] == max(first for first, _ in points)


@pytest.mark.parametrize("config", [QConfig(preset="accurate"), QConfig(skip_conv_layers=[])])
def test_keys_of_values_do_not_depend_on_what_is_rounded(net, config):
    def keys(options):
        bound = tvm.relax.transform.BindParams("main", net[1])(net[0])
        mod = tvm.transform.Sequential(annotate_passes(options))(bound)
        graph = Graph(mod["main"])
        found = value_keys(graph)
        sources = [graph.bindings[var].args[0] for var in activation_vars(graph)]
        return {found[source] for source in sources}, set(found.values())

    _, everything = keys(config)
    for skip in ("left", "right", ["conv1", "fc"]):
        fewer, same = keys(dataclasses.replace(config, skip=skip))
        assert fewer < everything and same == everything


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
        ({"calibrate": ["mes"]}, ValueError, "calibrate has 'mes'; there are global_scale"),
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
        search(*tuple_model(), [{"x": np.ones((2, 3), "float32")}])
