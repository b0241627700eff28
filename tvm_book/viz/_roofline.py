"""How fast programs are, next to how fast the machine could be."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ._style import COLORS, TEXT, style

__all__ = ["plot_roofline"]

_MARKERS = "os^Dv*Pp"
_DASHES = ("-", "--", ":", "-.")


def plot_roofline(
    peaks: Mapping[str, float],
    bandwidths: Mapping[str, float],
    points: Mapping[str, tuple[float, float]],
) -> Figure:
    """Draw a roofline: ceilings of arithmetic, slopes of data transport, and programs below them.

    A program that does `x` operations on each byte that it loads is at most as fast as the peak,
    and at most as fast as `x` times the bandwidth. Both axes are logarithmic.

    Parameters
    ----------
    peaks : mapping from label to float
        Ceilings, in units of 10**9 operations a second.
    bandwidths : mapping from label to float
        Slopes, in units of 10**9 bytes a second. They end at the highest ceiling.
    points : mapping from label to (float, float)
        Programs: operations a byte, and 10**9 operations a second.

    Returns
    -------
    matplotlib.figure.Figure
        The last expression of a cell displays it.

    Raises
    ------
    ValueError
        If there is no peak, no bandwidth or no point, or a number is not positive.

    References
    ----------
    S. Williams, A. Waterman, D. Patterson: Roofline: An Insightful Visual Performance Model for
    Multicore Architectures. Communications of the ACM 52(4), 2009.

    Examples
    --------
    >>> fig = plot_roofline({"peak": 100.0}, {"memory": 10.0}, {"a": (1.0, 8.0), "b": (40.0, 90.0)})
    >>> len(fig.axes[0].lines)  # the ceiling, the slope, two programs
    4
    """
    for name, numbers in (("peak", peaks), ("bandwidth", bandwidths), ("point", points)):
        if not numbers:
            raise ValueError(f"there is no {name} to draw")
        for label, value in numbers.items():
            if np.min(value) <= 0:
                raise ValueError(f"the {name} {label!r} must be positive, not {value}")
    highest = max(peaks.values())
    intensities = [x for x, _ in points.values()]
    left = min(intensities) / 2
    right = 2 * max(*intensities, highest / max(bandwidths.values()))
    with style():
        fig, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
        for number, (label, peak) in enumerate(peaks.items()):
            start = max(left, min(right, peak / max(bandwidths.values())))
            dashes = _DASHES[number % len(_DASHES)]
            ax.plot([start, right], [peak, peak], color=TEXT, linestyle=dashes)
            ax.annotate(label, (right, peak), (-2, 3), textcoords="offset points", ha="right")
        for number, (label, bandwidth) in enumerate(bandwidths.items()):
            # From the left edge up to the highest ceiling, or as far as the figure goes.
            end = min(max(highest / bandwidth, left), right)
            ends = [left * bandwidth, end * bandwidth]
            dashes = _DASHES[number % len(_DASHES)]
            ax.plot([left, end], ends, color=COLORS[-1], linestyle=dashes, label=label)
        for number, (label, (x, y)) in enumerate(points.items()):
            marker = _MARKERS[number % len(_MARKERS)]
            color = COLORS[number % (len(COLORS) - 1)]
            ax.plot([x], [y], color=color, marker=marker, linestyle="none", label=label)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter("{x:g}")
        ax.set_xlabel("operations per byte loaded")
        ax.set_ylabel("10⁹ operations per second")
        fig.legend(loc="outside right upper")
    plt.close(fig)  # or the notebook would show it a second time
    return fig
