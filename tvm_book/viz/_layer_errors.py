"""Errors of layers along a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._text import cut_front, plural
from ._style import COLORS, TEXT, style

__all__ = ["plot_layer_errors"]

_MARKERS = ("o", "s", "^", "D")
_LABELS = 40  # names on the axis that can be read
_LETTERS = 28  # of a name


def plot_layer_errors(
    layers: Sequence[str],
    sqnr_db: Mapping[str, Sequence[float]],
    bounds: Mapping[str, float] | None = None,
) -> Figure:
    """Draw signal to noise ratios by layer, from the network's input to its output.

    Parameters
    ----------
    layers : sequence of str
        Names. Of very many, evenly spaced ones are written.
    sqnr_db : mapping from label to sequence of float
        One line each, in dB: a value for each layer. An infinite one is a hollow mark at the edge
        of the plot, and where a value is NaN the line has a gap.
    bounds : mapping from label to float, optional
        Ratios, in dB, at which a dotted line is drawn.

    Returns
    -------
    matplotlib.figure.Figure
        The last expression of a cell displays it.

    Raises
    ------
    ValueError
        If there is no layer or no line, or a line has not one value for each layer.

    Examples
    --------
    >>> fig = plot_layer_errors(["conv", "fc"], {"isolated": [41, 38], "accumulated": [41, 35]})
    >>> [text.get_text() for text in fig.axes[0].get_xticklabels()]
    ['conv', 'fc']
    """
    if not len(layers):
        raise ValueError("there is no layer to draw")
    if not sqnr_db:
        raise ValueError("there is no line to draw: give sqnr_db a sequence, under its label")
    for label, values in sqnr_db.items():
        if len(values) != len(layers):
            found, wanted = plural(len(values), "value"), plural(len(layers), "layer")
            raise ValueError(f"sqnr_db[{label!r}] has {found} for {wanted}: give one for each")
    every = math.ceil(len(layers) / _LABELS)
    with style():
        width = min(9.5, 2.4 + 0.22 * len(layers))
        fig, ax = plt.subplots(figsize=(width, 3.6), layout="constrained")
        for bound, level in (bounds or {}).items():
            ax.axhline(level, color=TEXT, linestyle=":", linewidth=0.8)
            at = {"xy": (1, level), "xycoords": ("axes fraction", "data")}
            beside = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
            ax.annotate(bound, **at, **beside, fontsize="small")
        for number, (label, values) in enumerate(sqnr_db.items()):
            _draw(ax, number, label, np.asarray(values, np.float64))
        ax.set_xlim(-0.5, len(layers) - 0.5)
        names = [cut_front(name, _LETTERS) for name in layers[::every]]
        text = {"rotation": 90, "fontsize": "small", "parse_math": False}
        ax.set_xticks(range(0, len(layers), every), names, **text)
        ax.set_ylabel("SQNR (dB)")
        fig.legend(loc="outside upper center", ncols=len(sqnr_db))
    plt.close(fig)  # or the notebook would show it a second time
    return fig


def _draw(ax: Axes, number: int, label: str, values: np.ndarray) -> None:
    color, marker = COLORS[number % len(COLORS)], _MARKERS[number % len(_MARKERS)]
    finite = np.where(np.isfinite(values), values, np.nan)
    ax.plot(finite, color=color, marker=marker, markersize=4, linewidth=1.2, label=label)
    for sign, edge in ((np.inf, 1), (-np.inf, 0)):
        places = np.flatnonzero(values == sign)
        at = {"transform": ax.get_xaxis_transform(), "clip_on": False, "linestyle": "none"}
        if len(places):
            heights = np.full(len(places), edge)
            ax.plot(places, heights, marker, color=color, fillstyle="none", markersize=5, **at)
