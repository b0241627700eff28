"""Histograms of tensors, with the thresholds that a quantizer chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ._style import COLORS, TEXT, style

__all__ = ["plot_thresholds"]

_DASHES = ("-", "--", "-.", ":")


def plot_thresholds(
    values: Mapping[str, np.ndarray],
    thresholds: Mapping[str, Sequence[float]],
    columns: int = 3,
) -> Figure:
    """Draw a histogram of each tensor, and on it the largest magnitude that each grid holds.

    Counts are on a logarithmic axis, as the values that a threshold cuts off are few. A tensor
    without negative values gets lines on the positive side only.

    Parameters
    ----------
    values : mapping from title to array
        One panel for each; arrays of any shape.
    thresholds : mapping from label to sequence of float
        For each way of choosing: one threshold for each panel, in the unit of the values.
    columns : int, optional
        Panels in a row.

    Returns
    -------
    matplotlib.figure.Figure
        The last expression of a cell displays it.

    Raises
    ------
    ValueError
        If there is no tensor, or a label has not one threshold for each tensor.

    Examples
    --------
    >>> normal = np.random.default_rng(0).standard_normal(1000)
    >>> fig = plot_thresholds({"weights": normal}, {"max": [4.0], "narrow": [2.0]})
    >>> len(fig.axes[0].lines)  # plus and minus, of two thresholds
    4
    """
    if not values:
        raise ValueError("there is no tensor to draw")
    for label, numbers in thresholds.items():
        if len(numbers) != len(values):
            raise ValueError(
                f"thresholds[{label!r}] has {len(numbers)} numbers for {len(values)} tensors"
            )
    columns = min(columns, len(values))
    rows = -(-len(values) // columns)
    with style():
        fig = plt.figure(figsize=(2.7 * columns, 1.9 * rows + 0.4), layout="constrained")
        for number, (title, array) in enumerate(values.items()):
            ax = fig.add_subplot(rows, columns, number + 1)
            chosen = {label: numbers[number] for label, numbers in thresholds.items()}
            _draw(ax, title, np.asarray(array).reshape(-1), chosen)
        fig.supylabel("count", fontsize="medium")
        handles, labels = fig.axes[0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside upper center", ncols=max(1, len(labels)))
    plt.close(fig)  # or the notebook would show it a second time
    return fig


def _draw(ax: Axes, title: str, array: np.ndarray, thresholds: Mapping[str, float]) -> None:
    ax.hist(array, bins=100, color=TEXT, alpha=0.75)
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.5)  # so that a bar of one value can be seen
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_title(title)
    for number, (label, threshold) in enumerate(thresholds.items()):
        color, dashes = COLORS[number % len(COLORS)], _DASHES[number % len(_DASHES)]
        ax.axvline(threshold, color=color, linestyle=dashes, label=label)
        if array.min() < 0:
            ax.axvline(-threshold, color=color, linestyle=dashes)
