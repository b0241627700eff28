"""Colours that stand out from white paper and from a dark page alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.pyplot as plt
from matplotlib import cycler

__all__ = ["COLORS", "TEXT", "style"]

# A page is #ffffff or #121212. The contrast to both is best halfway between, near #797979.
TEXT = "#75797f"
COLORS = ("#3b7dd8", "#d9661f", "#2a9556", "#a35fd3", "#d3455b", "#8a7d1c")

_STYLE = {
    "axes.edgecolor": TEXT,
    "axes.facecolor": "none",
    "axes.labelcolor": TEXT,
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": TEXT,
    "axes.titlesize": "medium",
    "figure.dpi": 144,
    "figure.facecolor": "none",
    "font.size": 9,
    "legend.frameon": False,
    "savefig.facecolor": "none",
    "text.color": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
}


@contextmanager
def style() -> Iterator[None]:
    """Return a context in which new figures are transparent, with lines and text in mid-tones.

    A figure keeps what it was made with; the settings of matplotlib are then as they were.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> with style():
    ...     fig, ax = plt.subplots()
    >>> fig.get_facecolor()[3]  # its opacity
    0.0
    >>> plt.close(fig)
    """
    # Not rc_context: a notebook's backend may start in here, and its settings have to stay.
    before = {name: plt.rcParams[name] for name in _STYLE}
    plt.rcParams.update(_STYLE)
    try:
        yield
    finally:
        plt.rcParams.update(before)
