"""Tables in their two forms: HTML in a notebook, text in a terminal."""

import re

import numpy as np
import pytest

from tvm_book.viz import table


def cells(shown, tag="td"):
    return re.findall(rf"<{tag}(?: [^>]*)?>(.*?)</{tag}>", shown._repr_html_())


def test_columns_come_in_the_order_of_the_rows():
    shown = table([{"b": 1}, {"a": 2, "b": 3}])
    assert cells(shown, "th") == ["b", "a"]
    assert cells(shown) == ["1", "", "3", "2"]


def test_columns_are_chosen_and_named():
    shown = table([{"a": 1, "b": 2, "c": 3}], columns={"c": "third", "a": "first"})
    assert cells(shown, "th") == ["third", "first"]
    assert cells(shown) == ["3", "1"]
    assert cells(table([{"a": 1, "b": 2}], columns=["b"])) == ["2"]


def test_a_column_that_no_row_has_is_an_error():
    with pytest.raises(ValueError, match="no row has the column 'd'; there are a, b"):
        table([{"a": 1, "b": 2}], columns=["d"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345678, "12345678"),
        (np.int64(7), "7"),
        (0.123456, "0.1235"),
        (np.float32(2.5), "2.5"),
        (1e-12, "1e-12"),
        (0.0, "0"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (True, "✓"),
        (False, "–"),
        (np.True_, "✓"),
        (None, ""),
        ((1, 2), "(1, 2)"),
    ],
)
def test_values_are_formatted(value, text):
    assert cells(table([{"a": value}])) == [text]


def test_digits():
    assert cells(table([{"a": 0.123456}], digits=2)) == ["0.12"]


def test_text_is_escaped():
    shown = table([{"a<b": "x & <i>\ny"}])
    assert cells(shown, "th") == ["a&lt;b"]
    assert cells(shown) == ["x &amp; &lt;i&gt;<br>y"]


def test_numbers_stand_right_and_text_left():
    html = table([{"n": 1, "t": "x", "ok": True}, {"n": None, "t": 2, "ok": False}])._repr_html_()
    assert re.findall(r"<th[^>]*text-align: (\w+)", html) == ["right", "left", "left"]


@pytest.mark.parametrize(
    ("texts", "side"),
    [
        (("97.50", "8.1"), "right"),
        (("97.50", None), "right"),
        (("97.50", 8), "right"),
        (("3/3", "8.1"), "left"),
        (("", "8.1"), "left"),
        ((True, "8.1"), "left"),
    ],
)
def test_formatted_numbers_stand_right_unless_one_is_no_number(texts, side):
    html = table([{"n": text} for text in texts])._repr_html_()
    assert set(re.findall(r"text-align: (\w+)", html)) == {side}


def test_printed_chinese_takes_two_places_a_character():
    shown = table([{"算法": "最大", "位": 8}, {"算法": "mse", "位": 10}])
    assert repr(shown) == "算法  位\n----  --\n最大   8\nmse   10"


def test_printed_form():
    shown = table([{"n": 1, "name": "one"}, {"n": 100, "name": None}])
    assert repr(shown) == "n    name\n---  ----\n  1  one\n100"


def test_a_number_equal_to_a_heading_still_stands_right():
    assert repr(table([{"value": "10", "10": 10}, {"value": "x", "10": 1234}])).splitlines() == [
        "value  10",
        "-----  ----",
        "10       10",
        "x      1234",
    ]


def test_no_rows():
    assert cells(table([], columns=["a", "b"]), "th") == ["a", "b"]
    assert repr(table([], columns=["a", "b"])) == "a  b\n-  -"
