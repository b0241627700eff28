"""Bars of times."""

import matplotlib.pyplot as plt
import pytest

from tvm_book.viz import plot_times

SAMPLES = {"slow": [4.0, 1.0, 3.0, 2.0, 5.0], "fast": [0.5, 0.5]}


def bars(fig):
    return fig.axes[0].containers[1::2]  # each bar comes after its whiskers


def test_bars_are_medians_from_top_to_bottom():
    fig = plot_times(SAMPLES)
    (ax,) = fig.axes
    assert [bar.patches[0].get_width() for bar in bars(fig)] == [3.0, 0.5]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["slow", "fast"]
    bottom, top = ax.get_ylim()
    assert bottom > top
    assert [text.get_text() for text in ax.texts] == ["3", "0.5"]


def test_large_numbers_are_written_out():
    fig = plot_times({"a": [1234.5], "b": [99.94]})
    assert [text.get_text() for text in fig.axes[0].texts] == ["1234", "99.9"]


def test_whiskers_are_quartiles():
    (low, _), (high, _) = bars(plot_times(SAMPLES))[0].errorbar.lines[2][0].get_segments()[0]
    assert (low, high) == (2.0, 4.0)


def test_known_quartiles_are_drawn_as_they_are():
    fig = plot_times({"a": (1.0, 1.0, 2.0, 7.0, 7.0)})
    (low, _), (high, _) = bars(fig)[0].errorbar.lines[2][0].get_segments()[0]
    assert (low, bars(fig)[0].patches[0].get_width(), high) == (1.0, 2.0, 7.0)


def test_a_colour_for_each_group_and_one_legend():
    samples = {name: [1.0] for name in "abc"}
    fig = plot_times(samples, {"a": "int8", "b": "float32", "c": "int8"}, unit="s")
    first, second, third = (bar.patches[0].get_facecolor() for bar in bars(fig))
    assert first == third != second
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["int8", "float32"]
    assert fig.axes[0].get_xlabel() == "s"


@pytest.mark.parametrize(
    ("samples", "groups", "message"),
    [
        ({}, None, "there is nothing to draw"),
        ({"a": []}, None, "'a' has no times"),
        ({"a": [1.0]}, {"b": "int8"}, "'a' is in no group"),
    ],
)
def test_bad_input(samples, groups, message):
    with pytest.raises(ValueError, match=message):
        plot_times(samples, groups)


def test_pyplot_does_not_keep_the_figure():
    before = plt.get_fignums()
    plot_times(SAMPLES)
    assert plt.get_fignums() == before
