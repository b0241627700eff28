"""Accuracy against cost, and the points that are worth choosing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ._style import COLORS, TEXT, style

__all__ = ["plot_pareto"]


def plot_pareto(
    points: Sequence[tuple[float, float]],
    front: Sequence[tuple[float, float]],
    best: tuple[float, float] | None = None,
    bounds: Mapping[str, float] | None = None,
    labels: tuple[str, str] = ("", ""),
) -> Figure:
    """Draw points, the line through those that no other one beats, and the chosen one.

    Parameters
    ----------
    points : sequence of (float, float)
        All of them: where they stand on the horizontal and on the vertical axis.
    front : sequence of (float, float)
        In the order of the line.
    best : (float, float), optional
        Gets a ring around it.
    bounds : mapping from label to float, optional
        Values of the vertical axis at which a dotted line is drawn.
    labels : (str, str), optional
        Of the axes.

    Returns
    -------
    matplotlib.figure.Figure
        The last expression of a cell displays it.

    Raises
    ------
    ValueError
        If there is no point.

    Examples
    --------
    >>> fig = plot_pareto([(1.0, 0.9), (0.5, 0.8), (0.4, 0.95)], [(1.0, 0.9), (0.4, 0.95)])
    >>> fig.axes[0].lines[1].get_xdata().tolist()
    [1.0, 0.4]
    """
    if not points:
        raise ValueError("there is no point to draw")
    with style():
        fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
        x, y = zip(*points, strict=True)
        ax.plot(x, y, color=TEXT, marker="o", markersize=4, linestyle="none", label="tried")
        x, y = zip(*front, strict=True) if front else ((), ())
        ax.plot(x, y, color=COLORS[0], marker="o", markersize=5, label="front")
        if best is not None:
            ring = {"markersize": 12, "markerfacecolor": "none", "markeredgewidth": 1.5}
            ax.plot(*best, color=COLORS[1], marker="o", linestyle="none", label="best", **ring)
        for number, (label, value) in enumerate((bounds or {}).items()):
            ax.axhline(value, color=COLORS[2 + number % 4], linestyle=":", label=label)
        ax.set_xlabel(labels[0])
        ax.set_ylabel(labels[1])
        ax.ticklabel_format(useOffset=False)
        handles, names = ax.get_legend_handles_labels()
        fig.legend(handles, names, loc="outside upper center", ncols=len(names))
    plt.close(fig)  # or the notebook would show it a second time
    return fig
