"""`observe` and `Statistics`: shards, passes, what belongs together, and how data is consumed."""

import functools
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import tvm
from tvm import relax

from tests.quantize.graphs import array, constant, conv, module
from tvm_book.quantize import QConfig, observe, ops
from tvm_book.quantize._graph import Graph
from tvm_book.quantize._passes import annotate_passes
from tvm_book.quantize.calibrate import ALGORITHMS, _progress, collect, kl_divergence
from tvm_book.quantize.calibrate._fingerprint import fingerprint
from tvm_book.quantize.calibrate._progress import track
from tvm_book.quantize.calibrate.kl_divergence import divergences

SHAPE = (2, 3, 6, 6)
BATCHES = [{"x": array(*SHAPE, seed=seed, scale=1 + seed)} for seed in range(4)]
MODES = sorted(set(ALGORITHMS) - {"global_scale"})


@functools.cache
def search(counts):
    return divergences(np.frombuffer(counts, np.int64))


@pytest.fixture(autouse=True)
def remember_divergences(monkeypatch):
    """Search equal histograms of KL once: a search takes half a second."""
    monkeypatch.setattr(kl_divergence, "divergences", lambda counts: search(counts.tobytes()))


def network(emit, x):
    hidden = emit(relax.op.nn.relu(emit(conv(x, 4, 3))))
    return emit(conv(hidden, 2))


def model():
    return module(network, x=SHAPE)


def config(mode, **options):
    return QConfig(preset="accurate", calibrate_mode=mode, **options)


def annotated(options):
    return tvm.transform.Sequential(annotate_passes(options))(model())


def observe_shards(shards, options, batches=4):
    """Observe each shard in the way that processes of their own would."""
    merged = None
    for _ in range(ALGORITHMS[options.calibrate_mode].passes):
        parts = [
            pickle.loads(pickle.dumps(observe(model(), None, shard, options, merged, batches)))
            for shard in shards
        ]
        merged = parts[0].merge(*parts[1:])
    return merged


@pytest.mark.parametrize("mode", MODES)
def test_shards_give_the_limits_of_all_data(mode):
    whole = collect(annotated(config(mode)), config(mode), BATCHES)
    shards = observe_shards([BATCHES[:1], BATCHES[1:3], BATCHES[3:]], config(mode))
    assert whole.complete and shards.complete
    assert shards.limits() == whole.limits()
    assert len(whole.limits()) == 2  # the input, and what the second convolution reads


@pytest.mark.parametrize("mode", MODES)
def test_collect_runs_what_is_missing(mode):
    options = config(mode)
    first = observe(model(), None, BATCHES, options)
    done = collect(annotated(options), options, BATCHES, first)
    assert first.passes_done == 1
    assert done.complete
    assert done.limits() == collect(annotated(options), options, BATCHES).limits()
    again = collect(annotated(options), options, None, done)  # needs no data
    assert again.limits() == done.limits()


def test_a_given_pass_stays_as_it_is():
    options = config("kl_divergence")
    first = observe(model(), None, BATCHES, options)
    before = pickle.dumps(first)
    observe(model(), None, BATCHES[:2], options, after=first)
    first.merge(first)
    collect(annotated(options), options, BATCHES, first)
    assert pickle.dumps(first) == before


def test_limits_are_in_visiting_order():
    options = config("minmax")
    (low, high), (zero, top) = observe(model(), None, BATCHES, options).limits()
    values = np.stack([batch["x"] for batch in BATCHES])
    assert (low, high) == (values.min(), values.max())
    assert zero == 0 < top  # after the relu


def test_incomplete_statistics_have_no_limits():
    options = config("kl_divergence")
    with pytest.raises(ValueError, match="wants to see the data 2 times and has seen it 1 times"):
        observe(model(), None, BATCHES, options).limits()
    with pytest.raises(
        ValueError, match="told of 9 batches and has seen 4; merge the other shards"
    ):
        observe(model(), None, BATCHES, config("percentile"), batches=9).limits()


# what does not belong together


def test_statistics_of_another_configuration_are_refused():
    options = config("percentile")
    statistics = observe(model(), None, BATCHES, options)
    for other in (config("percentile", percentile=99), config("percentile", nbit_input=6)):
        with pytest.raises(ValueError, match=r"observed with (percentile=99.999|nbit_input=8)"):
            collect(annotated(other), other, BATCHES, statistics)
        with pytest.raises(ValueError, match="were observed with"):
            statistics.merge(observe(model(), None, BATCHES, other))


def test_statistics_of_another_model_are_refused():
    options = config("minmax")
    mine = observe(model(), None, BATCHES, options)
    other = module(lambda emit, x: emit(conv(emit(conv(x, 4, 3)), 2)), x=SHAPE)
    theirs = observe(other, None, BATCHES, options)
    with pytest.raises(ValueError, match="statistics are of another model"):
        mine.merge(theirs)
    with pytest.raises(ValueError, match="statistics are of another model"):
        collect(annotated(options), options, None, theirs)
    with pytest.raises(ValueError, match="statistics are of another model"):
        observe(model(), None, BATCHES, config("kl_divergence"), after=_first_pass_of(other))


def _first_pass_of(mod):
    return observe(mod, None, BATCHES, config("kl_divergence"))


def test_what_cannot_be_merged_is_refused():
    options = config("kl_divergence")
    first = observe(model(), None, BATCHES, options)
    second = observe(model(), None, BATCHES, options, after=first)
    with pytest.raises(ValueError, match="one shard has seen the data 1 times, another 2 times"):
        first.merge(second)
    with pytest.raises(TypeError, match="cannot merge a list; give what observe returned"):
        first.merge([second])
    percentile = config("percentile")
    parts = [observe(model(), None, BATCHES[i : i + 2], percentile) for i in (0, 2)]
    with pytest.raises(ValueError, match=r"told of 2 batches but has seen 4; .* as batches="):
        parts[0].merge(parts[1])
    with pytest.raises(ValueError, match="one shard is of 2 batches, another of 4"):
        parts[0].merge(observe(model(), None, BATCHES, percentile))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"config": config("global_scale")}, ValueError, "'global_scale' looks at no data"),
        ({"config": {"nbit_input": 8}}, TypeError, "config is a dict"),
        ({"dataset": None, "config": config("mse")}, ValueError, "needs calibration data"),
        ({"dataset": [], "config": config("mse")}, ValueError, "dataset has no batch"),
        ({"config": config("percentile"), "batches": 3}, ValueError, "told of 3 batches"),
        ({"params": {"w": array(1)}, "config": config("mse")}, ValueError, "no input 'w'"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        observe(model(), **{"dataset": BATCHES, **arguments})


def test_one_pass_too_many():
    options = config("mse")
    statistics = observe(model(), None, BATCHES, options)
    with pytest.raises(ValueError, match="mse has seen the data as often as it needs"):
        observe(model(), None, BATCHES, options, after=statistics)


def test_values_that_are_not_finite_are_refused():
    mod = module(lambda emit, x: emit(conv(emit(relax.op.log(x)))), x=SHAPE)
    with pytest.raises(ValueError, match="float model computes a NaN or infinity"):
        observe(mod, None, BATCHES, config("minmax"))


# how the data is consumed


class Stream:
    """Batches that can be gone through again but do not say how many they are."""

    def __init__(self, batches):
        self.batches, self.started = batches, 0

    def __iter__(self):
        self.started += 1
        return iter(self.batches)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [list, iter, Stream], ids=["list", "iterator", "stream"])
def test_every_kind_of_dataset_gives_the_same(mode, make):
    options = config(mode)
    found = collect(annotated(options), options, make(BATCHES))
    assert found.limits() == collect(annotated(options), options, BATCHES).limits()


def test_a_torch_loader_is_a_dataset():
    samples = [{"x": torch.from_numpy(batch["x"][0])} for batch in BATCHES]
    loader = torch.utils.data.DataLoader(samples, batch_size=2, drop_last=True)
    options = config("percentile")
    found = collect(annotated(options), options, loader)
    stacked = [{"x": torch.stack([s["x"] for s in samples[i : i + 2]])} for i in (0, 2)]
    assert found.limits() == collect(annotated(options), options, stacked).limits()


@pytest.mark.parametrize(
    ("mode", "passes"), [("minmax", 1), ("percentile", 2), ("kl_divergence", 2)]
)
def test_streams_are_gone_through_as_often_as_needed(mode, passes):
    """Percentile has to count a stream first."""
    stream, options = Stream(BATCHES), config(mode)
    collect(annotated(options), options, stream)
    assert stream.started == passes


def test_batches_are_not_kept():
    """A batch is made only when the one before is done with, and nothing refers to that one."""
    alive = []

    class Batch(dict):
        def __del__(self):
            alive.remove(id(self))

    def generate():
        for batch in BATCHES:
            new = Batch(batch)
            alive.append(id(new))
            yield new
            del new
            assert len(alive) <= 1

    observe(model(), None, generate(), config("mse"))
    assert not alive


def test_a_bad_batch_is_found_when_it_comes():
    bad = [*BATCHES, {"y": BATCHES[0]["x"]}]
    with pytest.raises(ValueError, match=r"batch 4 of dataset has an input 'y'"):
        observe(model(), None, iter(bad), config("mse"))


def test_observing_rounds_nothing():
    """On a grid of two bits every value would change."""
    options = config("minmax", nbit_input=2, nbit_weight=2)
    fine = config("minmax")
    assert (
        observe(model(), None, BATCHES, options).limits()
        == observe(model(), None, BATCHES, fine).limits()
    )


# fingerprints


def test_fingerprint_is_of_structure_and_constants():
    def of(build, shape=SHAPE):
        return fingerprint(Graph(module(build, x=shape)["main"]))

    def layer(weight_seed=0, **options):
        weight = constant(4, 3, 3, 3, seed=weight_seed)
        return lambda emit, x: emit(relax.op.nn.conv2d(x, weight, **options))

    variants = [
        of(layer()),
        of(layer(weight_seed=1)),
        of(layer(padding=1)),
        of(layer(), (1, 3, 6, 6)),
        of(lambda emit, x: emit(relax.op.clip(x, 0, 6))),
        of(lambda emit, x: emit(relax.op.clip(x, 0, 5))),
        of(lambda emit, x: emit(relax.TupleGetItem(emit(relax.op.split(x, 3, 1)), 0))),
        of(lambda emit, x: emit(relax.TupleGetItem(emit(relax.op.split(x, 3, 1)), 1))),
        of(lambda emit, x: emit(ops.simulated_quantize(x, kind="input"))),
        of(lambda emit, x: emit(ops.simulated_quantize(x, kind="table"))),
    ]
    assert len(set(variants)) == len(variants)
    assert of(layer()) == variants[0]


def test_fingerprint_is_of_the_order_of_operands():
    """The numbers 1 and 11 look the same either way, one written behind the other."""

    def of(places):
        def build(emit, x):
            values = [x]
            for _ in range(12):
                values.append(emit(relax.op.exp(values[-1])))
            left, right = (values[place] for place in places)
            return emit(relax.op.add(emit(relax.op.subtract(left, right)), values[-1]))

        return fingerprint(Graph(module(build, x=SHAPE)["main"]))

    assert of((1, 11)) != of((11, 1))


def test_fingerprint_is_the_same_in_every_process():
    script = (
        "from tests.quantize.test_statistics import *;"
        "print(fingerprint(Graph(annotated(config('mse'))['main'])))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert printed == {fingerprint(Graph(annotated(config("mse"))["main"]))}


# progress and memory


class Terminal:
    """Collects what is written to a terminal."""

    encoding = "utf-8"

    def __init__(self, is_terminal):
        self.is_terminal, self.text = is_terminal, ""

    def isatty(self):
        return self.is_terminal

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass


@pytest.mark.parametrize(
    ("is_terminal", "patience", "shows"),
    [(True, -1, True), (True, 60, False), (False, -1, False)],
    ids=["long on a terminal", "short", "pipe"],
)
def test_progress_is_shown_when_long_and_on_a_terminal(monkeypatch, is_terminal, patience, shows):
    terminal = Terminal(is_terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert list(track(iter("abc"), "calibrate (mse)", 3, patience)) == list("abc")
    assert ("calibrate (mse)" in terminal.text) == shows
    assert bool(terminal.text) == shows


def test_progress_ends_with_an_error(monkeypatch):
    """The cursor, which the bar hides, comes back."""
    terminal = Terminal(True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(_progress, "PATIENCE", -1)
    with pytest.raises(ValueError, match="batch 4"):
        observe(model(), None, [*BATCHES, {}], config("mse"))
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the high-water mark from /proc")
def test_memory_does_not_depend_on_the_number_of_samples():
    """512 samples of 108 KiB each would add an eighth to the peak if they were kept."""
    script = Path(__file__).parents[2] / "benchmarks" / "calibration_memory.py"
    few, many = (
        int(subprocess.check_output([sys.executable, script, "--child", "mse", count], text=True))
        for count in ("32", "512")
    )
    assert many <= 1.05 * few
