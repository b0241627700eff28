"""``QConfig.calibrate_layers``: single layers calibrated by another algorithm."""

import dataclasses
import functools
import pickle

import numpy as np
import pytest
import torch
import tvm
from torch import nn

from tvm_book._signature import bind_params
from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig, observe, quantize, rounded_tensors
from tvm_book.quantize._graph import Graph, module_path
from tvm_book.quantize._passes import annotate_passes
from tvm_book.quantize.calibrate import ALGORITHMS, kl_divergence, list_grids
from tvm_book.quantize.calibrate._modes import (
    activation_vars,
    calibration_modes,
    read_activations,
)
from tvm_book.quantize.calibrate.kl_divergence import divergences


@functools.cache
def search(counts):
    return divergences(np.frombuffer(counts, np.int64))


@pytest.fixture(autouse=True)
def remember_divergences(monkeypatch):
    """Search equal histograms of KL once: a search takes half a second."""
    monkeypatch.setattr(kl_divergence, "divergences", lambda counts: search(counts.tobytes()))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.pool, self.relu = nn.MaxPool2d(2), nn.ReLU()
        self.left, self.right = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(64, 5)

    def forward(self, x):
        x = self.pool(self.relu(self.conv1(x)))
        return self.fc((self.left(x) + self.right(x)).flatten(1))


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return from_pytorch(Net().eval(), [("x", (2, 3, 8, 8))])


RNG = np.random.default_rng(0)
BATCHES = [{"x": RNG.standard_t(3, (2, 3, 8, 8)).astype("float32")} for _ in range(4)]
SCHEMES = {
    "affine": {"preset": "accurate"},
    "relay": {"skip_conv_layers": [], "skip_dense_layer": False},
}
MODES = sorted(ALGORITHMS)


def config(scheme, mode, **layers):
    """Few bits and a low percentile, so that no two algorithms choose the same grids."""
    return QConfig(
        **SCHEMES[scheme],
        nbit_input=4,
        percentile=95,
        calibrate_mode=mode,
        calibrate_layers=layers,
    )


def activation_grids(net, options, dataset=BATCHES):
    """Grid of each rounded activation, and the paths of the layers that read it."""
    mod, params = net
    annotated = tvm.transform.Sequential(annotate_passes(options))(bind_params(mod, params))
    graph = Graph(annotated["main"])
    readers = {}
    for reader, variables in read_activations(graph, options).items():
        for var in variables:
            readers.setdefault(var, set()).add(module_path(reader))
    tensors = rounded_tensors(mod, params, dataset, options)
    grids = [tensor.grid for tensor in tensors if tensor.grid.kind != "weight"]
    return grids, [readers[var] for var in activation_vars(graph)]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "minmax"])
@pytest.mark.parametrize("layer", ["conv1", "left", "fc"])
def test_chosen_layers_get_the_grids_of_the_other_algorithm(net, scheme, mode, layer):
    chosen, readers = activation_grids(net, config(scheme, "minmax", **{layer: mode}))
    default, _ = activation_grids(net, config(scheme, "minmax"))
    other, _ = activation_grids(net, config(scheme, mode))
    picked = [layer in paths for paths in readers]
    assert any(picked) and not all(picked)
    expected = [b if pick else a for pick, a, b in zip(picked, default, other, strict=True)]
    assert chosen == expected
    assert default != other


def test_a_layer_reads_through_pooling_what_was_rounded_before(net):
    _, readers = activation_grids(net, config("affine", "minmax"))
    assert {"pool", "left", "right"} in readers


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_first_selector_counts_and_readers_of_a_tensor_share_its_grid(net, scheme):
    chosen = (
        {"left": "percentile", "right": "mse"},
        {"left": "percentile"},
        {"right": "mse", "left": "percentile"},
        {"right": "mse"},
    )
    both, first, reverse, second = (
        next(grid for grid, paths in zip(*found, strict=True) if {"left", "right"} <= paths)
        for found in (
            activation_grids(net, config(scheme, "minmax", **layers)) for layers in chosen
        )
    )
    assert both == first != second == reverse
    wide = config(scheme, "minmax", **{"fc": "minmax", "relax.*": "percentile"})
    grids, readers = activation_grids(net, wide)
    expected, _ = activation_grids(net, config(scheme, "percentile"))
    by_minmax, _ = activation_grids(net, config(scheme, "minmax"))
    for grid, paths, a, b in zip(grids, readers, by_minmax, expected, strict=True):
        assert grid == (a if "fc" in paths else b)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("base, mode", [("minmax", "kl_divergence"), ("kl_divergence", "mse")])
def test_shards_give_what_all_data_gives(net, scheme, base, mode):
    """Algorithms of one pass and of two; mse would count twice what a second pass shows."""
    mod, params = net
    options = config(scheme, base, conv1=mode, fc="percentile")
    whole = quantize(mod, params, BATCHES, options)
    merged, seen = None, []
    for _ in range(2):
        shards = [
            pickle.loads(pickle.dumps(observe(mod, params, shard, options, merged, batches=4)))
            for shard in (BATCHES[:1], BATCHES[1:])
        ]
        merged = shards[0].merge(shards[1])
        seen.append(merged.complete)
    assert seen == [False, True]
    # without data, weights are rounded to the nearest: only grids can be compared
    simulated = dataclasses.replace(options, do_simulation=True)
    grids = list_grids(quantize(mod, params, config=simulated, statistics=merged))
    assert repr(grids) == repr(list_grids(quantize(mod, params, BATCHES, simulated)))
    tvm.ir.assert_structural_equal(whole, quantize(mod, params, BATCHES, options, merged))


def test_a_second_pass_waits_for_all_shards_of_the_first(net):
    mod, params = net
    options = config("affine", "kl_divergence", fc="percentile")
    part = observe(mod, params, BATCHES[:3], options, batches=4)
    with pytest.raises(ValueError, match="told of 4 batches and has seen 3; merge the other"):
        observe(mod, params, BATCHES, options, after=part)
    whole = observe(mod, params, BATCHES, options)
    done = observe(mod, params, BATCHES, options, after=whole)
    with pytest.raises(ValueError, match="percentile has seen the data as often as it needs"):
        observe(mod, params, BATCHES, options, after=done)


def test_statistics_of_other_layers_are_refused(net):
    mod, params = net
    statistics = observe(mod, params, BATCHES, config("affine", "minmax", fc="mse"))
    with pytest.raises(ValueError, match="observed with calibrate_layers="):
        quantize(mod, params, config=config("affine", "minmax"), statistics=statistics)


def test_chunks_do_not_change_the_result(net):
    options = config("affine", "minmax", fc="kl_divergence", conv1="percentile")
    grids, _ = activation_grids(net, options)
    chunks, _ = activation_grids(net, dataclasses.replace(options, calibrate_chunk_by=1))
    assert grids == chunks


def test_a_dataset_is_needed_as_soon_as_one_layer_looks_at_it(net):
    mod, params = net
    options = config("relay", "global_scale", fc="minmax")
    with pytest.raises(ValueError, match="calibrate_mode='minmax' needs calibration data"):
        quantize(mod, params, config=options)
    constant = config("relay", "global_scale", fc="global_scale")
    plain = quantize(mod, params, config=config("relay", "global_scale"))
    tvm.ir.assert_structural_equal(quantize(mod, params, config=constant), plain)
    with pytest.raises(ValueError, match="looks at no data"):
        observe(mod, params, BATCHES, constant)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "selector, hint",
    [
        ("lefd", "did you mean 'left'"),
        ("conv2", "did you mean 'conv1'"),
        ("relax.nn.conv2d@9", "did you mean 'relax.nn.conv2d@"),
        ("backbone.stage", "modules are conv1"),
    ],
)
def test_a_selector_that_reads_nothing_rounded_is_an_error(net, scheme, selector, hint):
    with pytest.raises(ValueError) as error:
        quantize(*net, BATCHES, config(scheme, "minmax", **{selector: "mse"}))
    message = str(error.value)
    assert message.startswith(
        f"calibrate_layers: {selector!r} matches no operator of main that reads a rounded "
        "activation; "
    )
    assert hint in message


def test_a_layer_in_float_reads_nothing_rounded(net):
    options = QConfig(**SCHEMES["affine"], calibrate_layers={"fc": "minmax"}, skip="fc")
    with pytest.raises(ValueError, match="calibrate_layers: 'fc' matches no operator"):
        quantize(*net, BATCHES, options)


def test_without_layers_there_is_one_algorithm(net):
    options = config("affine", "mse")
    graph = Graph(tvm.transform.Sequential(annotate_passes(options))(net[0])["main"])
    assert set(calibration_modes(graph, options)) == {"mse"}


def test_a_mapping_is_kept_as_pairs_that_hash():
    mapping = {"a": "mse", "b.*": "minmax"}
    options = QConfig(calibrate_layers=mapping)
    assert options.calibrate_layers == (("a", "mse"), ("b.*", "minmax"))
    assert options == QConfig(calibrate_layers=list(map(list, mapping.items())))
    assert options == QConfig(calibrate_layers=[*mapping.items(), ("a", "percentile")])
    assert hash(options) == hash(dataclasses.replace(options))
    assert QConfig(calibrate_layers=dict(reversed(mapping.items()))) != options
