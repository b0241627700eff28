"""The figures: who is how fast, and how time grows with the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from contest.table import framework
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from tvm_book import viz

__all__ = ["draw", "draw_scaling", "save"]

Records = Sequence[Mapping[str, Any]]


def draw(records: Records) -> Figure:
    """Draw a panel for each network and batch: bars are medians, whiskers quartiles.

    Time is logarithmic. A contestant that did not finish has no bar.

    Parameters
    ----------
    records : sequence of mappings
        As in ``results`` of the JSON file.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = list(dict.fromkeys(record["contestant"] for record in records))
    frameworks = list(dict.fromkeys(map(framework, names)))
    colors = {name: viz.COLORS[i % len(viz.COLORS)] for i, name in enumerate(frameworks)}
    panels = list(dict.fromkeys((r["network"], r["batch"]) for r in records)) or [("", 1)]
    with viz.style():
        figure, axes = plt.subplots(
            1,
            len(panels),
            figsize=(2 + 2.4 * len(panels), 1 + 0.22 * len(names)),
            sharey=True,
            squeeze=False,
        )
        for ax, (network, batch) in zip(axes[0], panels, strict=True):
            for record in records:
                if (record["network"], record["batch"]) == (network, batch):
                    _bar(ax, record, names, colors)
            ax.set(xlabel="ms", xscale="log", title=f"{network}, batch {batch}")
            ax.xaxis.set_minor_formatter(NullFormatter())  # powers of ten are enough
        axes[0, 0].set_yticks(range(len(names)), names)
        axes[0, 0].set_ylim(len(names) - 0.4, -0.6)  # the first row of the table on top
        figure.tight_layout()
    return figure


def _bar(ax, record, names, colors) -> None:
    if record["status"] == "ok":
        middle = record["median_ms"]
        spread = [[middle - record["q1_ms"]], [record["q3_ms"] - middle]]
        color = colors[framework(record["contestant"])]
        ax.barh(names.index(record["contestant"]), middle, xerr=spread, color=color)


def draw_scaling(records: Records) -> Figure:
    """Draw the time of each contestant against the number of pixels, and against the batch.

    Both axes are logarithmic: cost that grows with the work is a straight line, dotted here, from
    each contestant's largest measurement on.

    Parameters
    ----------
    records : sequence of mappings
        As in ``scaling`` of the JSON file.

    Returns
    -------
    matplotlib.figure.Figure
    """
    done = [record for record in records if record["status"] == "ok"]
    with viz.style():
        figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
        largest = max((r["batch"] for r in done), default=1)
        sizes = [r for r in done if r["batch"] == 1]
        batches = [r for r in done if largest > 1 and r["size"] in _sizes(done, largest)]
        _lines(axes[0], sizes, "size", 2)
        _lines(axes[1], batches, "batch", 1)
        axes[0].set(xlabel="image size", ylabel="ms", title="batch 1")
        axes[1].set(xlabel="batch", title="one image size")
        figure.tight_layout()
    return figure


def _sizes(records: Records, batch: int) -> set[int]:
    return {record["size"] for record in records if record["batch"] == batch}


def _lines(ax, records: Records, key: str, power: int) -> None:
    for i, name in enumerate(dict.fromkeys(record["contestant"] for record in records)):
        here = sorted((r[key], r["median_ms"]) for r in records if r["contestant"] == name)
        x, y = zip(*here, strict=True)
        color = viz.COLORS[i % len(viz.COLORS)]
        ax.plot(x, y, marker="o", color=color, label=name)
        ideal = [y[-1] * (value / x[-1]) ** power for value in x]
        ax.plot(x, ideal, color=color, linewidth=0.8, linestyle=":")
    ax.set(xscale="log", yscale="log")
    ticks = sorted({record[key] for record in records})
    if ticks:
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.yaxis.set_major_formatter(ScalarFormatter())
        ax.legend()
    ax.xaxis.set_minor_formatter(NullFormatter())


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the file's ending says in which format."""
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)
