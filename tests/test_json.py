"""JSON that every reader understands."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from tvm_book._json import json_safe, json_text


@dataclasses.dataclass
class Point:
    x: float
    kind: type = int


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (-math.inf, "-Infinity"),
        (np.float32("inf"), "Infinity"),
        (np.float64("nan"), None),
        (np.array([[1, 2]], "int8"), [[1, 2]]),
        (np.array([0.5, math.nan]), [0.5, None]),
        (np.bool_(True), True),
        ((1, (2.5, None)), [1, [2.5, None]]),
        ({"b", "a", "c"}, ["a", "b", "c"]),
        ({1: {"x": math.inf}}, {"1": {"x": "Infinity"}}),
        (Point(math.nan), {"x": None, "kind": "<class 'int'>"}),
        (Path("out", "model.so"), str(Path("out", "model.so"))),
        ("NaN", "NaN"),
    ],
)
def test_what_json_has_no_word_for(value, expected):
    assert json_safe(value) == expected
    assert json.loads(json_text([value]), parse_constant=pytest.fail) == [expected]
    assert json_safe(json_safe(value)) == json_safe(value)


def test_numbers_are_of_python():
    found = json_safe([np.int64(3), np.float32(0.5), np.bool_(False)])
    assert [type(value) for value in found] == [int, float, bool]


def test_text_has_one_line_or_indents_and_is_ascii_if_asked():
    assert json_text({"µs": [1]}, indent=None) == '{"µs": [1]}'
    assert json_text({"µs": [1]}, ascii_only=True) == '{\n  "\\u00b5s": [\n    1\n  ]\n}'
