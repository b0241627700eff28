"""The figure: SQNR and time of every contestant on every network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from contest.table import FLOAT, framework
from tvm_book import viz

__all__ = ["draw", "save"]

PANELS = {"sqnr_db": "SQNR dB", "seconds": "seconds to quantize"}
SCALES = {"seconds": "log"}  # some are a hundred times as slow as others


def draw(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw one bar for each contestant: a column of panels for each network.

    A contestant that failed has no bar.

    Parameters
    ----------
    records : sequence of mappings
        As in ``results`` of the JSON file.

    Returns
    -------
    matplotlib.figure.Figure
    """
    records = [record for record in records if record["contestant"] != FLOAT]
    networks = list(dict.fromkeys(record["network"] for record in records)) or [""]
    names = list(dict.fromkeys(record["contestant"] for record in records))
    frameworks = list(dict.fromkeys(record["framework"] for record in records))
    names.sort(key=lambda name: frameworks.index(framework(name)))
    colors = {name: viz.COLORS[i % len(viz.COLORS)] for i, name in enumerate(frameworks)}
    size = (2 + 2.6 * len(networks), len(PANELS) * (1 + 0.19 * len(names)))
    with viz.style():
        figure, axes = plt.subplots(
            len(PANELS), len(networks), figsize=size, sharex="row", sharey=True, squeeze=False
        )
        for line, (key, label) in zip(axes, PANELS.items(), strict=True):
            for ax, network in zip(line, networks, strict=True):
                here = [record for record in records if record["network"] == network]
                _bars(ax, here, names, colors, key)
                ax.set(xlabel=label, title=network, xscale=SCALES.get(key, "linear"))
            line[0].xaxis.set_minor_formatter(NullFormatter())  # powers of ten are enough
        figure.tight_layout()
    return figure


def _bars(ax, records, names, colors, key) -> None:
    for record in records:
        value = record.get(key)
        if value is not None:
            ax.barh(names.index(record["contestant"]), value, color=colors[record["framework"]])
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)  # the first row of the table on top
    best = max((r[key] for r in records if r.get(key) is not None), default=None)
    if key == "sqnr_db" and best is not None:
        ax.axvline(best, color=viz.COLORS[-1], linewidth=0.8, linestyle=":")


def save(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw into a file; its ending says in which format."""
    figure = draw(records)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)
