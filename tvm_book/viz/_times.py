"""Times side by side, with their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ._style import COLORS, TEXT, style

__all__ = ["plot_times"]


def plot_times(
    samples: Mapping[str, Sequence[float]],
    groups: Mapping[str, str] | None = None,
    unit: str = "ms",
) -> Figure:
    """Draw a bar for each program: its median time, written beside it, and the quartiles.

    Parameters
    ----------
    samples : mapping from label to sequence of float
        Times, one bar each, from top to bottom. Where only the quartiles are known, pass
        ``(q1, q1, median, q3, q3)``: those are its quartiles.
    groups : mapping from label to str, optional
        What bars of one colour have in common. By default all have one.
    unit : str, optional
        Of the times.

    Returns
    -------
    matplotlib.figure.Figure
        The last expression of a cell displays it.

    Raises
    ------
    ValueError
        If there is nothing to draw, a label has no times, or one is in no group.

    Examples
    --------
    >>> fig = plot_times({"float32": [2.0, 2.1, 2.6], "int8": [1.0, 1.1, 1.2]})
    >>> [text.get_text() for text in fig.axes[0].texts]
    ['2.1', '1.1']
    """
    if not samples:
        raise ValueError("there is nothing to draw")
    if empty := [label for label, times in samples.items() if not len(times)]:
        raise ValueError(f"{empty[0]!r} has no times")
    if groups is not None and (alone := [label for label in samples if label not in groups]):
        raise ValueError(f"{alone[0]!r} is in no group")
    names = list(dict.fromkeys(groups[label] for label in samples)) if groups else [""]
    with style():
        fig, ax = plt.subplots(figsize=(6.4, 0.27 * len(samples) + 0.9), layout="constrained")
        for place, (label, times) in enumerate(samples.items()):
            low, middle, high = np.percentile(times, (25, 50, 75))
            number = names.index(groups[label]) if groups else 0
            spread = [[middle - low], [high - middle]]
            color = COLORS[number % len(COLORS)]
            bar = ax.barh(place, middle, 0.7, xerr=spread, color=color, ecolor=TEXT)
            bar.set_label(names[number])
            text = f"{middle:.0f}" if middle >= 100 else f"{middle:.3g}"
            beside = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
            ax.annotate(text, (high, place), **beside)
        ax.set_yticks(range(len(samples)), list(samples))
        ax.set_ylim(len(samples) - 0.4, -0.6)  # the first one on top
        ax.margins(x=0.1)  # room for the numbers
        ax.set_xlim(left=0)
        ax.set_xlabel(unit)
        if groups:
            handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
            fig.legend(handles.values(), handles, loc="outside upper center", ncols=len(handles))
    plt.close(fig)  # or the notebook would show it a second time
    return fig
