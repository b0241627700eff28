"""Trials, and the front of those that are worth choosing."""

import matplotlib.pyplot as plt
import pytest

from tvm_book.viz import plot_pareto

POINTS = [(1.0, 0.9), (0.5, 0.8), (0.4, 0.95)]
FRONT = [(0.4, 0.95), (1.0, 0.9)]


def lines(fig):
    (ax,) = fig.axes
    return {line.get_label(): line for line in ax.lines}


def xy(line):
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_points_the_front_and_the_best_are_where_they_were_given():
    fig = plot_pareto(POINTS, FRONT, POINTS[2], {"float": 0.97}, ("share", "accuracy"))
    drawn = lines(fig)
    assert list(drawn) == ["tried", "front", "best", "float"]
    assert [xy(drawn[name]) for name in ("tried", "front", "best")] == [POINTS, FRONT, POINTS[2:]]
    assert drawn["tried"].get_linestyle() == drawn["best"].get_linestyle() == "None"
    assert drawn["front"].get_linestyle() == "-"
    assert list(drawn["float"].get_ydata()) == [0.97, 0.97]
    assert (fig.axes[0].get_xlabel(), fig.axes[0].get_ylabel()) == ("share", "accuracy")
    assert [text.get_text() for text in fig.legends[0].get_texts()] == list(drawn)


def test_what_is_not_given_is_not_drawn():
    drawn = lines(plot_pareto(POINTS, []))
    assert list(drawn) == ["tried", "front"]
    assert xy(drawn["front"]) == []


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="there is no point to draw"):
        plot_pareto([], [])


def test_pyplot_does_not_keep_the_figure():
    before = plt.get_fignums()
    plot_pareto(POINTS, FRONT)
    assert plt.get_fignums() == before
