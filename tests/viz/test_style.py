"""Colours that can be read on white and on dark pages; settings that do not leak."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_rgb

from tvm_book.viz import COLORS, style
from tvm_book.viz._style import TEXT


def luminance(color):
    """Relative luminance as WCAG 2.1 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#121212"])  # the theme's light and dark background
def test_contrast(page):
    assert contrast(TEXT, page) > 4.2  # the best that any colour reaches on both is 4.33
    assert min(contrast(color, page) for color in COLORS) > 3  # what WCAG asks of graphics


def test_colors_differ():
    assert len(set(COLORS)) == len(COLORS)


def test_a_figure_is_transparent_and_keeps_its_colors():
    with style():
        fig, ax = plt.subplots()
    (line,) = ax.plot([1, 2])
    plt.close(fig)
    assert fig.get_facecolor()[3] == ax.get_facecolor()[3] == 0
    assert to_rgb(ax.xaxis.label.get_color()) == to_rgb(TEXT)
    assert to_rgb(line.get_color()) == to_rgb(COLORS[0])


def test_settings_are_restored():
    before = dict(plt.rcParams)
    with pytest.raises(ZeroDivisionError), style():
        assert plt.rcParams["font.size"] == 9
        1 / 0  # noqa: B018
    assert dict(plt.rcParams) == before


def test_settings_of_others_stay():
    """A notebook's backend that starts inside the context switches interactive mode on."""
    was_interactive = plt.isinteractive()
    try:
        with style():
            plt.ion()
        assert plt.isinteractive()
    finally:
        plt.interactive(was_interactive)
