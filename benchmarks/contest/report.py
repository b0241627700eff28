"""From logits to numbers, from numbers to a table, and whether the targets are met."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from contest.table import FLOAT, OURS
from tvm_book import viz
from tvm_book.testing import metric

__all__ = ["COLUMNS", "results_table", "score", "targets", "targets_table"]

Record = Mapping[str, Any]

COLUMNS = {
    "network": "network",
    "contestant": "contestant",
    "top1": "top-1 %",
    "cosine": "cosine",
    "sqnr_db": "SQNR dB",
    "convert_s": "convert s",
    "quantize_s": "quantize s",
    "seconds": "total s",
    "rss_before_mib": "before MiB",
    "rss_peak_mib": "peak MiB",
    "note": "note",
}
# Fixed decimals, so that the numbers of a column line up; the cosine is near 1.
FORMATS = {"top1": ".2f", "cosine": ".6f", "sqnr_db": ".2f", "convert_s": ".2f"}
FORMATS |= {"quantize_s": ".2f", "seconds": ".2f", "rss_before_mib": ".0f", "rss_peak_mib": ".0f"}

TOP1_LOSS = 0.2  # percentage points that the preset may lose


def score(reference: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """Compare logits with those of torch float, and with the labels.

    Parameters
    ----------
    reference, logits : numpy.ndarray
        Float (N, 10): of torch in float32, and of a contestant.
    labels : numpy.ndarray
        Integer (N,).

    Returns
    -------
    dict
        ``top1`` and ``agreement`` (with the class that float chose) in percent, ``cosine``,
        ``sqnr_db``: None where there is no finite number, for JSON has none.

    Examples
    --------
    >>> score(np.eye(2), np.eye(2), np.array([0, 0]))
    {'top1': 50.0, 'agreement': 100.0, 'cosine': 1.0, 'sqnr_db': None}
    """
    numbers = {
        "top1": 100 * float(np.mean(logits.argmax(axis=1) == labels)),
        "agreement": 100 * metric.top_k_agreement(reference, logits),
        "cosine": metric.cosine_similarity(reference, logits),
        "sqnr_db": metric.sqnr_db(reference, logits),
    }
    return {key: value if math.isfinite(value) else None for key, value in numbers.items()}


def results_table(records: Iterable[Record]) -> viz.Table:
    """Return the table of all contestants."""
    return viz.table([_formatted(record) for record in records], COLUMNS)


def _formatted(record: Record) -> dict[str, Any]:
    row = {key: record.get(key) for key in COLUMNS}
    for key, form in FORMATS.items():
        row[key] = None if row[key] is None else format(row[key], form)
    return row


def targets(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Compare our best mode with the best peer on each network.

    "Best" is by SQNR; the peer's time is that of the fastest way to use NNCF.

    Returns
    -------
    list of dict
        A row for each network that has results of the preset ``"accurate"`` and of a peer:
        ``ours`` and ``peer`` with ``sqnr_db`` of each, ``top1_loss`` against float in percentage
        points, ``seconds`` and ``nncf_seconds``; and whether ``sqnr_met``, ``top1_met`` and
        ``speed_met``, None where there is nothing to compare with.
    """
    done = [record for record in records if record["status"] == "ok"]
    rows = []
    for network in dict.fromkeys(record["network"] for record in done):
        here = [record for record in done if record["network"] == network]
        ours = _best(r for r in here if r["contestant"].startswith(f"{OURS}/accurate/"))
        peer = _best(r for r in here if r["framework"] != OURS and r["contestant"] != FLOAT)
        if ours is None or peer is None:
            continue
        top1 = next((r["top1"] for r in here if r["contestant"] == FLOAT), None)
        nncf = min((r["seconds"] for r in here if r["framework"] == "nncf"), default=None)
        loss = None if top1 is None else top1 - ours["top1"]
        rows.append(
            {
                "network": network,
                "ours": ours["contestant"],
                "sqnr_db": ours["sqnr_db"],
                "peer": peer["contestant"],
                "peer_sqnr_db": peer["sqnr_db"],
                "sqnr_met": ours["sqnr_db"] >= peer["sqnr_db"],
                "top1_loss": loss,
                "top1_met": None if loss is None else loss <= TOP1_LOSS,
                "seconds": ours["seconds"],
                "nncf_seconds": nncf,
                "speed_met": None if nncf is None else ours["seconds"] < nncf,
            }
        )
    return rows


def _best(records: Iterable[Record]) -> Record | None:
    measured = (record for record in records if record["sqnr_db"] is not None)
    return max(measured, key=lambda record: record["sqnr_db"], default=None)


def targets_table(rows: Iterable[Mapping[str, Any]]) -> viz.Table:
    """Return the table of what `targets` found."""
    headings = {
        "network": "network",
        "ours": "best of ours",
        "sqnr_db": "SQNR dB",
        "peer": "best peer",
        "peer_sqnr_db": "SQNR dB",
        "sqnr_met": "at least as good",
        "top1_loss": "top-1 lost",
        "top1_met": f"at most {TOP1_LOSS}",
        "seconds": "seconds",
        "nncf_seconds": "NNCF",
        "speed_met": "faster",
    }
    return viz.table(rows, headings)
