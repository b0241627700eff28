"""Each rule: a record that it is about, and one that just escapes it."""

import math

import numpy as np
import pytest

from tests.report.records import ONE_LARGE, findings, layer, only, tensor
from tvm_book.report.rules import RULES


def kinds(found):
    return [finding.kind for finding in found]


PER_CHANNEL = np.array([0.1, 0.1, 0.1, 0.1], np.float32).reshape(4, 1)

# Rule, operands and fields of a layer that it is about, and of one that it is not about.
CASES = {
    "clipped": (
        [tensor(saturated=0.011)],
        {},
        [tensor(saturated=0.01)],
        {},
    ),
    "clipped weight": (
        [tensor("weight", saturated=0.2)],
        {},
        [tensor("weight", saturated=0.001)],
        {},
    ),
    "few_steps": (
        [tensor(used=0.24)],
        {},
        [tensor(used=0.25)],
        {},
    ),
    "few_steps of many": (
        [tensor(used=0.2, low=-8, high=7)],
        {},
        [tensor(used=0.2, low=-7, high=7)],
        {},
    ),
    "dominating_channel": (
        [tensor(channels=ONE_LARGE)],
        {},
        [tensor(channels=ONE_LARGE - [0.1, 0, 0, 0, 0])],
        {},
    ),
    "dominating_channel of a weight": (
        [tensor("weight", channels=np.array([8.0, 1, 1, 1]))],
        {},
        [tensor("weight", channels=np.array([8.0, 1, 1, 1]), scale=PER_CHANNEL)],
        {},
    ),
    "dominating_channel of four": (
        [tensor(channels=np.array([9.0, 1, 1, 1]))],
        {},
        [tensor(channels=np.array([9.0, 1, 1]))],
        {},
    ),
    "dead_channel": (
        [tensor("weight", channels=np.array([0.0, 1, 1, 1]))],
        {},
        [tensor("weight", channels=np.array([0.06, 0.3, 0.3, 0.3]))],
        {},
    ),
    "dead_channel of an activation": (
        [tensor(channels=np.array([1.0, 0, 0, 1]))],
        {},
        [tensor(channels=np.zeros(4))],
        {},
    ),
    "lost_channel": (
        [tensor("weight", channels=np.array([0.04, 0.3, 0.3, 0.3]))],
        {},
        [tensor("weight", channels=np.array([0.05001, 0.3, 0.3, 0.3]))],
        {},
    ),
    "lost_channel on a grid of its own": (
        [tensor("weight", scale=PER_CHANNEL, channels=np.array([0.04, 9, 0.3, 0.3]))],
        {},
        [tensor("weight", scale=PER_CHANNEL / [[9], [1], [1], [1]], channels=np.full(4, 0.06))],
        {},
    ),
    "constant_input": (
        [tensor(minimum=3.0, maximum=3.0, used=1 / 256)],
        {},
        [tensor(minimum=3.0, maximum=3.1)],
        {},
    ),
    "constant_input, no constant": (
        [tensor(minimum=0.0, maximum=0.0, used=1 / 256)],
        {},
        [tensor(minimum=0.0, maximum=0.0, used=1 / 256, source="const")],
        {},
    ),
    "never_calibrated": (
        [tensor(calibrated=False)],
        {},
        [tensor(calibrated=True)],
        {},
    ),
    "never_calibrated, no weight": (
        [tensor(calibrated=False), tensor("weight")],
        {},
        [tensor("weight", calibrated=False)],
        {},
    ),
    "never_calibrated, said already": (
        [tensor(calibrated=False, saturated=0.01, used=0.25)],
        {},
        [tensor(calibrated=False, saturated=0.02), tensor(calibrated=False, used=0.2)],
        {},
    ),
    "not_finite": (
        [tensor(maximum=math.inf, channels=np.array([math.inf, 1, 1, 1]))],
        {},
        [tensor(maximum=3e38)],
        {},
    ),
    "not_finite, a result": (
        [],
        {"isolated_sqnr_db": 41.0, "accumulated_sqnr_db": math.nan},
        [],
        {"isolated_sqnr_db": -math.inf, "accumulated_sqnr_db": math.inf},
    ),
    "near_overflow": ([], {"accumulator": 0.5}, [], {"accumulator": 0.499}),
    "near_overflow, wrapped": ([], {"accumulator": 1.2}, [], {"accumulator": math.nan}),
    "made_here": (
        [],
        {"isolated_sqnr_db": 32.9, "accumulated_sqnr_db": 29.9},
        [],
        {"isolated_sqnr_db": 30.0, "accumulated_sqnr_db": 30.0},
    ),
    "made_here, all of it": (
        [],
        {"isolated_sqnr_db": -math.inf, "accumulated_sqnr_db": -math.inf},
        [],
        {"isolated_sqnr_db": math.inf, "accumulated_sqnr_db": math.inf},
    ),
    "inherited": (
        [],
        {"isolated_sqnr_db": 33.0, "accumulated_sqnr_db": 29.9},
        [],
        {"isolated_sqnr_db": 32.9, "accumulated_sqnr_db": 29.9},
    ),
    "inherited, all of it": (
        [],
        {"isolated_sqnr_db": math.inf, "accumulated_sqnr_db": 12.0},
        [],
        {"isolated_sqnr_db": math.nan, "accumulated_sqnr_db": math.nan},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rule_finds_its_case_and_not_its_near_miss(case):
    operands, fields, near_operands, near_fields = CASES[case]
    rule = case.split(" ")[0].rstrip(",")
    assert rule in kinds(only(*operands, **fields))
    assert rule not in kinds(only(*near_operands, **near_fields))


def test_every_rule_has_a_case():
    assert {case.split(" ")[0].rstrip(",") for case in CASES} == {kind for kind, _ in RULES}


@pytest.mark.parametrize(
    ("sqnr", "severity"), [(19.9, "high"), (20.0, "medium"), (29.9, "medium"), (30.0, "low")]
)
def test_a_cause_weighs_as_much_as_the_error(sqnr, severity):
    found = only(tensor(saturated=0.5), isolated_sqnr_db=sqnr)
    assert [f.severity for f in found if f.kind == "clipped"] == [severity]


def test_the_most_important_comes_first():
    found = findings(
        layer("fine"),
        layer("medium", tensor(saturated=0.1), isolated_sqnr_db=25.0),
        layer("worse", tensor(saturated=0.1, used=0.1), isolated_sqnr_db=11.0),
        layer("bad", tensor(saturated=0.1), isolated_sqnr_db=12.0),
        layer("unknown", tensor(saturated=0.1), isolated_sqnr_db=math.nan),
        layer("harmless", tensor(saturated=0.1)),
    )
    assert [(f.layer, f.kind, f.severity) for f in found] == [
        ("worse", "clipped", "high"),
        ("worse", "few_steps", "high"),
        ("bad", "clipped", "high"),
        ("unknown", "not_finite", "high"),
        ("medium", "clipped", "medium"),
        ("harmless", "clipped", "low"),
        ("unknown", "clipped", "low"),
        ("fine", "fine", "none"),
    ]
