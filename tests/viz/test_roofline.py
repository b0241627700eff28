"""Rooflines."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tvm_book.viz import plot_roofline

PEAKS, BANDWIDTHS = {"int8": 400.0, "float32": 100.0}, {"cache": 80.0, "memory": 10.0}
POINTS = {"slow": (2.0, 15.0), "fast": (20.0, 350.0)}


def lines(peaks=PEAKS, bandwidths=BANDWIDTHS, points=POINTS):
    fig = plot_roofline(peaks, bandwidths, points)
    return fig, [line.get_xydata() for line in fig.axes[0].lines]


def test_slopes_meet_the_highest_ceiling():
    _, (*_, cache, memory, _, _) = lines()
    for slope, bandwidth in ((cache, 80), (memory, 10)):
        np.testing.assert_allclose(slope[:, 1] / slope[:, 0], bandwidth)
    assert cache[-1].tolist() == [5, 400]
    assert memory[-1].tolist() == [40, 400]


def test_ceilings_begin_at_the_steepest_slope():
    _, (int8, float32, *_) = lines()
    assert int8[0].tolist() == [5, 400]
    assert float32[0].tolist() == [1.25, 100]
    assert set(int8[:, 1]) == {400} and set(float32[:, 1]) == {100}


def test_points_stand_where_they_are():
    fig, drawn = lines()
    assert [tuple(xy[0]) for xy in drawn[-2:]] == list(POINTS.values())
    (legend,) = fig.legends
    assert [text.get_text() for text in legend.get_texts()] == ["cache", "memory", "slow", "fast"]
    slow, fast = fig.axes[0].lines[-2:]
    assert slow.get_marker() != fast.get_marker()  # for those who see no colours


def test_all_points_are_inside():
    fig, _ = lines(points={"far left": (0.01, 0.001), "far right": (9000.0, 399.0)})
    (ax,) = fig.axes
    for x, y in ((0.01, 0.001), (9000.0, 399.0)):
        assert ax.get_xlim()[0] < x < ax.get_xlim()[1]
        assert ax.get_ylim()[0] < y < ax.get_ylim()[1]


def test_both_axes_are_logarithmic():
    fig, _ = lines()
    assert {fig.axes[0].get_xscale(), fig.axes[0].get_yscale()} == {"log"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peaks": {}}, "there is no peak to draw"),
        ({"bandwidths": {}}, "there is no bandwidth to draw"),
        ({"points": {}}, "there is no point to draw"),
        ({"points": {"a": (1.0, 0.0)}}, "the point 'a' must be positive"),
        ({"peaks": {"p": -1.0}}, "the peak 'p' must be positive"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        lines(**change)


def test_pyplot_does_not_keep_the_figure():
    before = plt.get_fignums()
    lines()
    assert plt.get_fignums() == before
