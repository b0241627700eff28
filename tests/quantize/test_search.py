"""`search`: finds what is planted, is repeatable, and its points can be made again."""

import dataclasses
import functools
import itertools
import json
import warnings

import numpy as np
import pytest
import tvm
from torch import nn

from tests.quantize.networks import (
    CALIBRATION,
    EVALUATION,
    PER_TENSOR,
    batches,
    minus_error,
    spread,
)
from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig, quantize, search
from tvm_book.quantize._graph import Graph
from tvm_book.quantize._operations import integer_share
from tvm_book.quantize._passes import annotate_passes
from tvm_book.quantize._trials import Trial
from tvm_book.quantize.calibrate import Grid
from tvm_book.quantize.calibrate._fingerprint import value_keys
from tvm_book.quantize.calibrate._modes import activation_vars
from tvm_book.quantize.evaluate import evaluate
from tvm_book.testing import cosine_similarity, relative_l2

pytestmark = pytest.mark.usefixtures("one_thread")


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
def test_each_point_can_be_made_again_bit_for_bit(branching, name):
    found = search(
        *branching, CALIBRATION, max_drop=1e-5, budget=7, evaluation=EVALUATION, **OPTIONS[name]
    )
    assert 3 <= len(found.trials) <= 7
    exact = evaluate(branching[0], EVALUATION, branching[1])
    for point in found.trials:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            qmod = quantize(*branching, CALIBRATION, config=point.config)
        annotated = tvm.transform.Sequential(annotate_passes(point.config))(found._subject.mod)
        assert point.share == integer_share(Graph(annotated["main"]))
        output = evaluate(qmod, EVALUATION)
        cosine = found.float_value - point.drop
        assert cosine == pytest.approx(point.value, abs=1e-12)
        assert point.value == cosine_similarity(exact, output)
        if point == found.best:
            tvm.ir.assert_structural_equal(found.quantize(), qmod)
    given = OPTIONS[name]["config"]
    assert found.trials[0].config == given
    assert all(set(given.skip) <= set(point.config.skip) for point in found.trials)
    other = next(point for point in found.trials if point != found.best)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        tvm.ir.assert_structural_equal(
            found.quantize(other), quantize(*branching, CALIBRATION, config=other.config)
        )


def test_equal_arguments_give_equal_trials():
    mod, params = spread({0: 300, 1: 50, 3: 300})
    options = {"metric": minus_error, "max_drop": 0.02, "config": PER_TENSOR}
    first, second = (search(mod, params, batches(), seed=s, **options) for s in (5, np.int64(5)))
    assert list(map(plan, first.trials)) == list(map(plan, second.trials))
    assert first == second
    assert first.best in first.front and len(first.best.config.skip) == min(
        len(point.config.skip)
        for point in first.trials
        if (point.value, point.share) == (first.best.value, first.best.share)
    )


def test_trials_are_alike_if_their_modules_are():
    """Where data choose the grids they correct, too; a constant may choose the same grids."""
    grid = Grid("input", np.float32(0.5), np.float32(-8), np.float32(7))
    configs = [
        QConfig(preset="accurate", **options)
        for options in (
            {"calibrate_mode": "minmax"},
            {"calibrate_mode": "mse"},
            {"calibrate_mode": "global_scale"},
            {"calibrate_mode": "minmax", "skip": "fc"},
        )
    ]
    found = [Trial(config, None, [grid]).signature for config in configs]
    assert found[0] == found[1] and len(set(found)) == 3
    found = [Trial(config, None, []).signature for config in configs]
    assert len(set(found[:3])) == 1


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


@pytest.mark.parametrize("config", [QConfig(preset="accurate"), QConfig(skip_conv_layers=[])])
def test_keys_of_values_do_not_depend_on_what_is_rounded(branching, config):
    def keys(options):
        bound = tvm.relax.transform.BindParams("main", branching[1])(branching[0])
        mod = tvm.transform.Sequential(annotate_passes(options))(bound)
        graph = Graph(mod["main"])
        found = value_keys(graph)
        sources = [graph.bindings[var].args[0] for var in activation_vars(graph)]
        return {found[source] for source in sources}, set(found.values())

    _, everything = keys(config)
    for skip in ("left", "right", ["conv1", "fc"]):
        fewer, same = keys(dataclasses.replace(config, skip=skip))
        assert fewer < everything and same == everything
