"""Where the time of a run goes."""

import time

import numpy as np
import pytest
import torch
import tvm
import tvm_ffi
from torch import nn
from tvm.script import ir as I
from tvm.script import relax as R

import tvm_book
from tvm_book import quantize
from tvm_book.backend import Step
from tvm_book.frontend import from_pytorch
from tvm_book.runtime import Profile
from tvm_book.runtime._profile import profile_rows, watch


@tvm_ffi.register_global_func("tvm_book_test.slow_copy", override=True)
def slow_copy(source, target):
    time.sleep(0.02)
    target.copyfrom(source)


@I.ir_module
class Slow:
    """Something that takes 20 ms between two kernels that take none."""

    @R.function
    def main(x: R.Tensor((4,), "float32")) -> R.Tensor((4,), "float32"):
        with R.dataflow():
            a = R.nn.relu(x)
            b = R.call_dps_packed("tvm_book_test.slow_copy", (a,), out_ty=R.Tensor((4,), "float32"))
            y = R.negative(b)
            R.output(y)
        return y


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype("float32")


@pytest.fixture(scope="module")
def model(images):
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3))
    network = nn.Sequential(features, nn.Flatten(), nn.Linear(144, 5)).eval()
    mod, params = from_pytorch(network, [("data", (1, 3, 8, 8))])
    with quantize.qconfig(preset="accurate", calibrate_mode="minmax"):
        return tvm_book.compile(quantize.quantize(mod, params, [{"data": images}]), threads=1)


def known(rows):
    return [
        {k: v for k, v in row.items() if k not in ("us", "gops", "peak", "share")} for row in rows
    ]


def test_rows_of_a_quantized_model(model, images):
    report = model.profile(images, repeat=3)
    rows = {row["layer"]: row for row in report.rows if row["gops"]}
    assert list(rows) == ["0.0", "0.2", "2"]
    products = {"0.0": 2 * 8 * 64 * 27, "0.2": 2 * 4 * 36 * 72, "2": 2 * 5 * 144}
    for layer, row in rows.items():
        assert row["dtype"] == "int8" and row["isa"] == model.isa and row["why"] == ""
        assert row["gops"] * row["us"] == pytest.approx(products[layer] / 1e3)
        assert 0 < row["peak"] < 1.5  # the peak itself is measured, beside other work
    assert sum(row["share"] for row in report.rows) == pytest.approx(1)
    assert report.rows[0]["why"] == "entry: float values become integers"
    assert (report.isa, report.threads) == (model.isa, 1) and report.total > 0


def test_time_is_told_of_the_call_that_took_it():
    run = tvm_book.compile(Slow, threads=1)
    report = run.profile(np.ones(4, "float32"), repeat=2)
    first, slow, last = report.rows
    assert slow["function"] == "tvm_book_test.slow_copy" and slow["us"] > 20_000
    assert max(first["us"], last["us"]) < 10_000 and slow["share"] > 0.8
    assert report.total > 20_000
    assert "tvm_book_test.slow_copy" in report.explain().splitlines()[3]


def test_a_loaded_model_has_the_same_rows(model, images, tmp_path):
    if tvm.support.cc.get_cc() is None:
        pytest.skip("linking needs a C++ compiler")
    model.save(tmp_path / "model.so")
    loaded = tvm_book.load(tmp_path / "model.so", threads=1)
    reports = [m.profile(images, repeat=1) for m in (model, loaded)]
    assert known(reports[0].rows) == known(reports[1].rows)
    assert loaded.isa == model.isa


def test_profiling_leaves_the_model_alone(model, images):
    before = model(images)
    model.profile(images, repeat=1)
    np.testing.assert_array_equal(model(images), before)


def test_wrong_options(model, images):
    with pytest.raises(ValueError, match="repeat must be an integer of at least 1"):
        model.profile(images, repeat=0)
    with pytest.raises(TypeError, match="no value for input 'data'"):
        model.profile()


def step(function, layer):
    return Step(function, layer, ("matmul",), (2, 3), "int8", "none", 3_000, "")


def test_a_function_that_is_called_twice_stands_for_its_steps_in_order():
    steps = [step("f", "a"), step("g", "b"), step("f", "c"), step("never", "d")]
    calls = [("vm.builtin.x", 1.0), ("f", 1e-6), ("g", 2e-6), ("f", 3e-6)]
    rows = profile_rows(calls, steps, threads=1)
    assert [(row["layer"], row["share"]) for row in rows] == [
        ("a", pytest.approx(1 / 6)),
        ("b", pytest.approx(2 / 6)),
        ("c", pytest.approx(3 / 6)),
    ]
    assert [row["gops"] for row in rows] == pytest.approx([3.0, 1.5, 1.0])
    assert rows[0]["peak"] is None  # no such instruction set


def test_medians(monkeypatch):
    """Of three runs, the middle time of each call, whichever run it was in."""
    executable = tvm_book.compile(Slow, threads=1)._executable
    naps = iter([0.0, 0.05, 0.02])
    monkeypatch.setattr(time, "sleep", lambda _, sleep=time.sleep: sleep(next(naps)))
    x = tvm.runtime.tensor(np.ones(4, "float32"))
    calls = dict(watch(executable, [x], lambda: None, 3))
    assert 0.02 <= calls["tvm_book_test.slow_copy"] < 0.05


def row(layer="a", us=10.0, share=0.5, why="", dtype="int8", isa="portable", peak=0.5):
    return {
        "layer": layer,
        "operators": "nn.conv2d, add, clip",
        "shape": (1, 2),
        "dtype": dtype,
        "isa": isa,
        "us": us,
        "gops": 1.0,
        "peak": peak,
        "share": share,
        "why": why,
        "function": "f",
    }


def test_the_report_as_text_and_as_html(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    report = Profile([row("a[0]<b>")], 25.0, "portable", 2)
    title, *_, line, _ = repr(report).splitlines()
    assert title.strip() == "25.0 µs a run, 2 threads, portable"
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == "a[0]<b>|conv2d +2|1×2|int8|portable|10.0|1.0|50%|50%|".split("|")
    html = report._repr_html_()
    assert "a[0]&lt;b&gt;" in html and html.count("<tr>") == 2
    assert "25.0 µs a run" in html


def test_a_notebook_shows_the_report_once(monkeypatch):
    """There rich would display what it is only to write."""
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    shown = []
    monkeypatch.setattr("rich.jupyter.display", lambda *content: shown.append(content))
    assert "layer" in repr(Profile([row()], 25.0, "portable", 2)) and not shown


def test_what_to_do_is_sorted_by_what_it_costs():
    rows = [
        row("slow", 50.0, 0.5, "TVM loops: no kernel for sort", "float32", "TVM loops", None),
        row("fc", 30.0, 0.3, "float operator", "float32"),
        row("small", 19.0, 0.19, peak=0.1),
        row("cheap", 1.0, 0.01, "exit: integers become float values", "float32"),
    ]
    text = Profile(rows, 120.0, "portable", 1).explain()
    lines = text.splitlines()
    assert lines[0].endswith("100.0 µs in 4 calls, the rest between them.")
    assert lines[1] == "TVM loops takes 50%, float32 takes 31%, int8 takes 19% of the calls' time."
    assert lines[3].startswith("- slow (conv2d +2), float32: 50.0 µs, 50%: TVM loops")
    advice = lines[lines.index("What to do:") + 1 :]
    assert [line.split(" (")[0] for line in advice] == [
        "- TVM loops",
        "- float operator",
        "- int8 below 30% of the peak",
    ]
