"""Errors of layers along a network."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tvm_book.viz import plot_layer_errors


def test_a_line_for_each_series_and_bounds_beside_it():
    fig = plot_layer_errors(["a", "b"], {"x": [1, 2], "y": [3, 4]}, {"good": 30})
    (ax,) = fig.axes
    assert [list(line.get_ydata()) for line in ax.lines] == [[30, 30], [1, 2], [3, 4]]
    assert ax.lines[1].get_marker() != ax.lines[2].get_marker()  # told apart without colours
    assert [text.get_text() for text in ax.texts] == ["good"]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["x", "y"]


def test_what_is_not_finite_is_no_point_of_a_line():
    (ax,) = plot_layer_errors(["a", "b", "c", "d"], {"x": [1, np.inf, np.nan, -np.inf]}).axes
    line, above, below = ax.lines
    np.testing.assert_array_equal(line.get_ydata(), [1, np.nan, np.nan, np.nan])
    assert [list(above.get_xdata()), list(above.get_ydata())] == [[1], [1]]
    assert [list(below.get_xdata()), list(below.get_ydata())] == [[3], [0]]
    assert above.get_fillstyle() == "none"


def test_names_stay_readable():
    names = [f"layer{i}" for i in range(81)]
    (ax,) = plot_layer_errors(names, {"x": range(81)}).axes
    assert [text.get_text() for text in ax.get_xticklabels()] == names[::3]
    (ax,) = plot_layer_errors(["a" * 50 + "end"], {"x": [1]}).axes
    (text,) = ax.get_xticklabels()
    assert text.get_text() == "…" + "a" * 24 + "end"


def test_names_are_no_formulas():
    """Drawing this one would be an error."""
    plot_layer_errors(["a$\\nope$"], {"x": [1]}).savefig(io.BytesIO())


@pytest.mark.parametrize(
    ("layers", "values", "message"),
    [
        ([], {"x": []}, "there is no layer to draw"),
        (["a"], {}, "there is no line to draw: give sqnr_db"),
        (["a"], {"x": [1, 2]}, r"sqnr_db\['x'\] has 2 values for 1 layer: give one"),
    ],
)
def test_bad_input(layers, values, message):
    with pytest.raises(ValueError, match=message):
        plot_layer_errors(layers, values)


def test_pyplot_does_not_keep_the_figure():
    before = plt.get_fignums()
    plot_layer_errors(["a"], {"x": [1]})
    assert plt.get_fignums() == before
