import doctest
import json

import pytest
from race import figure, heat, report
from race.table import CONTESTANTS


def record(contestant, median, low=None, network="resnet18", batch=1, size=None, **more):
    times = {"min_ms": low or median, "q1_ms": 0.75 * median, "q3_ms": 2 * median}
    where = {"network": network, "batch": batch, "size": size, "contestant": contestant}
    return {**where, "status": "ok", "median_ms": median, **times, "samples": 90, **more}


FAILED = {
    "network": "resnet18",
    "batch": 1,
    "size": None,
    "status": "failed",
    "note": "out of luck",
}
COMPILED = {"compile_s": 14.96, "compile_peak_mib": 2049.0, "isa": "avx512-vnni"}
RECORDS = [
    record("onnxruntime/float32", 10.0, 8.0),
    record("onnxruntime/int8", 4.0, 2.0),
    {**FAILED, "contestant": "openvino/int8"},
    record("tvm_book/float32", 12.0, 12.0, isa="avx512-vnni"),
    record("tvm_book/int8", 2.0, 1.5, **COMPILED),
]


def targets(*args):
    return {row["what"]: row for row in report.targets(*args)}


def test_ratios_are_those_of_one_network_at_batch_one():
    others = [
        record("tvm_book/int8", 1.0, network="vit_tiny"),  # has no peer
        record("onnxruntime/int8", 1.0, batch=8),
        record("onnxruntime/int8", 1.0, size=64),
        record("onnxruntime/int8", 1.0, network="resnet50"),  # has none of ours
    ]
    rows = targets([*RECORDS, *others])
    assert {what: row["value"] for what, row in rows.items()} == {
        "tvm_book/int8 : onnxruntime/int8": 0.5,
        "tvm_book/float32 : onnxruntime/float32": 1.2,
        "tvm_book/int8, seconds to compile": 14.96,
        "tvm_book/int8, MiB to compile": 2049.0,
    }
    ratio = rows["tvm_book/int8 : onnxruntime/int8"]
    assert (ratio["at_most"], ratio["value_min"], ratio["met"]) == (0.25, 0.75, False)
    assert [row["met"] for row in rows.values()] == [False, True, True, False]


def test_levels_are_compared_with_their_own_rivals():
    portable = [
        record("tvm_book/float32/portable", 100.0),
        record("tvm_book/int8/portable", 50.0),
        record("tvm_book/int8/avx512-vnni", 5.0),
    ]
    rows = targets([*RECORDS[1:2], *portable])
    assert rows["tvm_book/int8/portable : tvm_book/float32/portable"]["value"] == 0.5
    assert rows["tvm_book/int8/avx512-vnni : onnxruntime/int8"]["value"] == 1.25
    assert not rows["tvm_book/int8/avx512-vnni : onnxruntime/int8"]["met"]


@pytest.mark.parametrize(("seconds", "met"), [(15.0, True), (15.1, False)])
def test_calibration_is_judged(seconds, met):
    measured = {"images": 100, "observe_s": seconds, "quantize_s": 60.0}
    done = {"network": "resnet18", "status": "ok", **measured}
    (row,) = report.targets([], done)
    assert (row["value"], row["met"]) == (seconds, met)
    assert f"calibrated in {seconds} s, quantized after that in 60.0 s" in report.calibration_line(
        done
    )
    failed = {"network": "resnet18", "status": "failed", "note": "took longer than 600 s"}
    assert report.targets([], failed) == []
    assert report.calibration_line(failed) == "calibration: took longer than 600 s"


def test_targets_name_contestants_that_take_part():
    for network, ours, peer, most in report.RATIOS:
        assert {ours, peer} <= set(CONTESTANTS)
        assert CONTESTANTS[ours].networks in ("*", network)
        assert 0 < most < 2
    assert report.COMPILED[1] in CONTESTANTS
    assert (
        len(report.RATIOS) == 3 * 4 + 2
    )  # of the issue: three ratios of four networks, two levels


def test_results_table():
    lines = str(report.results_table([RECORDS[2], RECORDS[4]])).splitlines()
    assert lines[2].split() == ["resnet18", "1", "openvino/int8", "out", "of", "luck"]
    numbers = ["2.000", "1.500", "1.500", "4.000", "90", "15.0", "2049"]
    assert lines[3].split() == ["resnet18", "1", "tvm_book/int8", "avx512-vnni", *numbers]
    assert "size" not in lines[0]
    assert "size" in str(report.results_table([record("tvm_book/int8", 1.0, size=64)]))


def test_the_headline_says_for_which_machines_the_targets_are():
    machine = {"processor": "P", "threads": 2, "levels": ["avx2", "portable"]}
    assert report.headline(machine).startswith("P, 2 threads; avx2, portable. The ratios")
    assert report.headline({**machine, "levels": ["amx-int8"]}) == "P, 2 threads; amx-int8"


def test_targets_are_json():
    assert json.loads(json.dumps(report.targets(RECORDS), allow_nan=False))
    assert "seconds to compile" in str(report.targets_table(report.targets(RECORDS)))


def test_figure_has_a_bar_and_quartiles_for_each_time():
    drawn = figure.draw([*RECORDS, record("tvm_book/int8", 7.0, batch=8)])
    titles = [axes.get_title() for axes in drawn.axes]
    assert titles == ["resnet18, batch 1", "resnet18, batch 8"]
    widths = [[bar.get_width() for bar in axes.patches] for axes in drawn.axes]
    assert widths == [[10.0, 4.0, 12.0, 2.0], [7.0]]
    names = [text.get_text() for text in drawn.axes[0].get_yticklabels()]
    assert names == [one["contestant"] for one in RECORDS]
    (whiskers,) = drawn.axes[1].collections
    assert whiskers.get_segments()[0][:, 0].tolist() == [5.25, 14.0]


def test_scaling_against_image_size_and_batch():
    sizes = [record("tvm_book/int8", size / 64, size=size) for size in (128, 64)]
    batches = [record("tvm_book/int8", 2.0 * n, size=128, batch=n) for n in (2, 4)]
    drawn = figure.draw_scaling([*sizes, *batches])
    by_size, by_batch = (axes.get_lines() for axes in drawn.axes)
    assert [list(zip(*line.get_data(), strict=True)) for line in by_size] == [
        [(64, 1.0), (128, 2.0)],
        [(64, 0.5), (128, 2.0)],  # had it grown with the number of pixels
    ]
    assert [list(zip(*line.get_data(), strict=True)) for line in by_batch] == [
        [(1, 2.0), (2, 4.0), (4, 8.0)],
        [(1, 2.0), (2, 4.0), (4, 8.0)],
    ]


@pytest.mark.parametrize("draw", [figure.draw, figure.draw_scaling])
def test_a_figure_of_nothing_is_still_a_file(draw, tmp_path):
    figure.save(draw([]), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("module", [report, heat], ids=lambda module: module.__name__)
def test_examples_in_docstrings(module):
    tried = doctest.testmod(module)
    assert tried.attempted > 0
    assert tried.failed == 0
