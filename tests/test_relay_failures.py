"""The report on what Relay could not do. The results themselves: quantize/test_relay_failures.py"""

from pathlib import Path

import pytest

from tvm_book.relay_failures import Attempt, attempt, by_category
from tvm_book.testing.golden import GoldenCase, golden_failures

GOLDEN = Path(__file__).parent / "golden"


def attempt_first(category):
    failure = next(f for f in golden_failures(GOLDEN) if f["category"] == category)
    return attempt(GoldenCase(GOLDEN / failure["case"]), failure)


def test_a_result_has_its_quality():
    done = attempt_first("runtime_weight")
    assert (done.case, done.key, done.outcome, done.message) == (
        "mul_se",
        "o3__default",
        "result",
        "",
    )
    assert done.sqnr_db > 15  # 8-bit activations; noise as large as the signal would be 0 dB


def test_a_refusal_has_its_message():
    done = attempt_first("bad_option")
    assert (done.outcome, done.sqnr_db) == ("error", None)
    assert done.message.startswith("ValueError: calibrate_mode is 'nonsense'; choose from")
    assert done.relay_error == "ValueError: Unknown calibrate mode nonsense"


def test_a_warning_comes_with_a_result():
    done = attempt_first("nothing_to_quantize")
    assert done.outcome == "warning"
    assert done.message.startswith("nothing was quantized")
    assert done.sqnr_db > 100  # float, but for the order of sums


def test_other_errors_are_raised(monkeypatch):
    monkeypatch.setattr("tvm_book.relay_failures.quantize", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        attempt_first("mixed_width_conv")


def test_rows_by_category_and_outcome():
    def made(category, outcome, sqnr_db):
        return Attempt("case", "key", category, "E", outcome, outcome[0], sqnr_db)

    attempts = [made("b", "result", 3.0), made("a", "error", None), made("b", "result", 2.0)]
    attempts.append(made("b", "error", None))
    columns = ("category", "outcome", "message", "configurations", "sqnr_db")
    assert [tuple(row[name] for name in columns) for row in by_category(attempts)] == [
        ("a", "error", "e", 1, None),
        ("b", "error", "e", 1, None),
        ("b", "result", "r", 2, 2.0),
    ]
