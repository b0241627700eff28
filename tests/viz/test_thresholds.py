"""Histograms with thresholds."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tvm_book.viz import plot_thresholds

SIGNED, POSITIVE = np.array([-3.0, 1.0, 1.0, 2.0]), np.array([[0.0, 5.0], [5.0, 1.0]])


def positions(ax):
    return [line.get_xdata()[0] for line in ax.lines]


def figure(**options):
    values = {"signed": SIGNED, "positive": POSITIVE}
    return plot_thresholds(values, {"wide": [8.0, 6.0], "narrow": [2.0, 4.0]}, **options)


def test_lines_stand_at_the_thresholds():
    signed, positive = figure().axes
    assert positions(signed) == [8, -8, 2, -2]
    assert positions(positive) == [6, 4]
    assert [signed.get_title(), positive.get_title()] == ["signed", "positive"]


def test_every_value_is_counted():
    for ax, values in zip(figure().axes, (SIGNED, POSITIVE), strict=True):
        assert sum(bar.get_height() for bar in ax.patches) == values.size


def test_one_legend_for_all_panels():
    fig = figure()
    (legend,) = fig.legends
    assert [text.get_text() for text in legend.get_texts()] == ["wide", "narrow"]
    wide, narrow = fig.axes[1].lines
    assert wide.get_color() != narrow.get_color()
    assert wide.get_linestyle() != narrow.get_linestyle()  # for those who see no colours


def test_columns():
    first, second = figure(columns=1).axes
    assert first.get_subplotspec().rowspan.start < second.get_subplotspec().rowspan.start


@pytest.mark.parametrize(
    ("values", "thresholds", "message"),
    [
        ({}, {}, "there is no tensor to draw"),
        ({"a": SIGNED}, {"max": [1.0, 2.0]}, r"thresholds\['max'\] has 2 numbers for 1 tensors"),
    ],
)
def test_bad_input(values, thresholds, message):
    with pytest.raises(ValueError, match=message):
        plot_thresholds(values, thresholds)


def test_pyplot_does_not_keep_the_figure():
    before = plt.get_fignums()
    figure()
    assert plt.get_fignums() == before
