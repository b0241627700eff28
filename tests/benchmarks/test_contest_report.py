import doctest
import json
import math

import numpy as np
import pytest
from contest import figure, report, table
from contest.table import FLOAT

FAILED = {"framework": "nncf", "status": "failed", "note": "ValueError: no"}


def record(contestant, sqnr_db, seconds=1.0, top1=98.0, network="resnet"):
    return {
        "contestant": contestant,
        "framework": contestant.split("/")[0],
        "network": network,
        "status": "ok",
        "top1": top1,
        "agreement": 100.0,
        "cosine": 0.9999,
        "sqnr_db": sqnr_db,
        "convert_s": seconds / 4,
        "quantize_s": seconds * 3 / 4,
        "seconds": seconds,
        "rss_before_mib": 300.4,
        "rss_peak_mib": 310.6,
    }


RECORDS = [
    record(FLOAT, None, 0.0, top1=98.5),
    record("tvm_book/relay/percentile", 45.0),
    record("tvm_book/accurate/mse", 40.0),
    record("tvm_book/accurate/minmax", 41.0, 2.0, top1=98.25),
    record("nncf/default", 30.0, 3.0),
    record("nncf/mixed", 31.0, 2.5),
    {**FAILED, "contestant": "nncf/tuned", "network": "resnet"},
    record("torchao/x86", 40.5, 0.5),
]


def test_score_by_hand():
    reference = np.array([[3.0, 0], [0, 4], [1, 0]])
    logits = np.array([[3.0, 0], [0, 4], [0, 1]])
    score = report.score(reference, logits, np.array([0, 1, 1]))
    assert score["top1"] == 100
    assert score["agreement"] == pytest.approx(200 / 3)
    assert score["cosine"] == pytest.approx(25 / 26)
    assert score["sqnr_db"] == pytest.approx(10 * math.log10(26 / 2))


def test_a_score_without_a_number_is_null():
    assert report.score(np.eye(2), np.full((2, 2), np.nan), np.array([0, 1]))["sqnr_db"] is None


def test_results_table():
    some = [RECORDS[0], RECORDS[4], RECORDS[6]]
    assert str(report.results_table(some)).splitlines() == [
        "network  contestant     top-1 %  cosine    SQNR dB  convert s  quantize s  total s  "
        "before MiB  peak MiB  note",
        "-------  -------------  -------  --------  -------  ---------  ----------  -------  "
        "----------  --------  --------------",
        "resnet   torch/float32    98.50  0.999900                0.00        0.00     0.00  "
        "       300       311",
        "resnet   nncf/default     98.00  0.999900    30.00       0.75        2.25     3.00  "
        "       300       311",
        "resnet   nncf/tuned                                                                 "
        "                      ValueError: no",
    ]


def test_targets_compare_the_best_of_each_side():
    (row,) = report.targets(RECORDS)
    assert row == {
        "network": "resnet",
        "ours": "tvm_book/accurate/minmax",  # not relay: the targets are those of the preset
        "sqnr_db": 41.0,
        "peer": "torchao/x86",
        "peer_sqnr_db": 40.5,
        "sqnr_met": True,
        "top1_loss": 0.25,
        "top1_met": False,
        "seconds": 2.0,
        "nncf_seconds": 2.5,
        "speed_met": True,
    }
    assert "torchao/x86" in str(report.targets_table([row]))


def test_targets_without_float_or_nncf_leave_those_open():
    (row,) = report.targets([RECORDS[3], RECORDS[7]])
    assert row["sqnr_met"] is True
    assert row["top1_loss"] is row["top1_met"] is row["nncf_seconds"] is row["speed_met"] is None


def test_targets_need_both_sides():
    assert report.targets([RECORDS[0], RECORDS[3], RECORDS[6]]) == []
    assert report.targets([RECORDS[0], RECORDS[4]]) == []


def test_targets_are_json():
    assert json.loads(json.dumps(report.targets(RECORDS), allow_nan=False))


def test_figure_has_a_bar_for_each_result():
    others = [record("nncf/mixed", 20.0, network="vit")]
    drawn = figure.draw([*RECORDS, *others])
    widths = [[bar.get_width() for bar in axes.patches] for axes in drawn.axes]
    sqnr = [45.0, 40.0, 41.0, 30.0, 31.0, 40.5]  # float and the one that failed have none
    assert widths == [sqnr, [20.0], [1.0, 1.0, 2.0, 3.0, 2.5, 0.5], [1.0]]
    assert [axes.get_title() for axes in drawn.axes] == ["resnet", "vit"] * 2
    labels = [text.get_text() for text in drawn.axes[0].get_yticklabels()]
    assert labels == [r["contestant"] for r in RECORDS if r["contestant"] != FLOAT]
    heights = {bar.get_facecolor() for bar in drawn.axes[0].patches}
    assert len(heights) == 3  # frameworks


def test_figure_of_nothing_is_still_a_file(tmp_path):
    figure.save([], tmp_path / "empty.png")
    assert (tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("module", [report, table], ids=lambda module: module.__name__)
def test_examples_in_docstrings(module):
    tried = doctest.testmod(module)
    assert tried.attempted > 0
    assert tried.failed == 0
