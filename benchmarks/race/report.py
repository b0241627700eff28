"""From times to tables, and whether the targets are met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tvm_book import viz

__all__ = [
    "COLUMNS",
    "RATIOS",
    "calibration_line",
    "headline",
    "results_table",
    "targets",
    "targets_table",
]

Record = Mapping[str, Any]

COLUMNS = {
    "network": "network",
    "batch": "batch",
    "size": "size",
    "contestant": "contestant",
    "isa": "isa",
    "median_ms": "median ms",
    "min_ms": "min ms",
    "q1_ms": "25 %",
    "q3_ms": "75 %",
    "samples": "runs",
    "sqnr_db": "SQNR dB",
    "compile_s": "compile s",
    "compile_peak_mib": "peak MiB",
    "note": "note",
}
_MS = {f"{name}_ms": ".3f" for name in ("median", "min", "q1", "q3")}
FORMATS = {**_MS, "sqnr_db": ".1f", "compile_s": ".1f", "compile_peak_mib": ".0f"}

# At batch 1: this contestant's median by that one's, and how much that may be on each network.
_PAIRS = [
    ("tvm_book/int8", "openvino/int8"),
    ("tvm_book/int8", "onnxruntime/int8"),
    ("tvm_book/float32", "onnxruntime/float32"),
]
_MOST = {
    "resnet18": (0.65, 0.25, 1.2),
    "resnet50": (0.8, 0.35, 1.2),
    "mobilenet_v2": (0.9, 0.7, 1.5),
    "vit_tiny": (0.7, 0.5, 1.2),
}
RATIOS = [
    *((name, *pair, most[i]) for i, pair in enumerate(_PAIRS) for name, most in _MOST.items()),
    ("resnet18", "tvm_book/int8/avx512-vnni", "onnxruntime/int8", 1.0),
    ("resnet18", "tvm_book/int8/portable", "tvm_book/float32/portable", 1.0),
]
COMPILING = {"compile_s": ("seconds to compile", 15), "compile_peak_mib": ("MiB to compile", 2048)}
COMPILED = ("resnet18", "tvm_book/int8")
CALIBRATION_S = 15


def headline(machine: Record) -> str:
    """Say which machine the numbers are from, and whether the targets are meant for it."""
    levels = machine["levels"]
    text = f"{machine['processor']}, {machine['threads']} threads; {', '.join(levels)}"
    amx = any(name.startswith("amx") for name in levels)
    return text if amx else f"{text}. The ratios to other toolkits are for machines with AMX."


def results_table(records: Iterable[Record]) -> viz.Table:
    """Return the table of all contestants."""
    rows = [_formatted(record) for record in records]
    shown = [key for key in COLUMNS if key != "size" or any(row["size"] for row in rows)]
    return viz.table(rows, {key: COLUMNS[key] for key in shown})


def _formatted(record: Record) -> dict[str, Any]:
    row = {key: record.get(key) for key in COLUMNS}
    for key, form in FORMATS.items():
        row[key] = None if row[key] is None else format(row[key], form)
    return row


def targets(records: Iterable[Record], calibration: Record | None = None) -> list[dict[str, Any]]:
    """Compare what was measured with what was aimed at; what was not measured has no row.

    Parameters
    ----------
    records : iterable of mappings
        Those of batch 1 and the published image size count.
    calibration : mapping, optional
        What `race.calibration` measured.

    Returns
    -------
    list of dict
        ``network``, ``what``, ``value`` (for ratios that of the medians, and ``value_min`` that of
        the minima), ``at_most``, and ``met``.

    Examples
    --------
    >>> one = {"network": "resnet18", "batch": 1, "size": None, "status": "ok", "min_ms": 1.0}
    >>> ours = {**one, "contestant": "tvm_book/int8", "median_ms": 3.0}
    >>> peer = {**one, "contestant": "openvino/int8", "median_ms": 4.0}
    >>> targets([ours, peer])[0]["value"], targets([ours, peer])[0]["met"]
    (0.75, False)
    """
    done = {
        (record["network"], record["contestant"]): record
        for record in records
        if record["status"] == "ok" and record["batch"] == 1 and record["size"] is None
    }
    rows = []
    for network, ours, peer, most in RATIOS:
        a, b = done.get((network, ours)), done.get((network, peer))
        if a and b:
            ratios = [a[key] / b[key] for key in ("median_ms", "min_ms")]
            rows.append(_row(network, f"{ours} : {peer}", ratios[0], most, ratios[1]))
    numbers = done.get(COMPILED, {})
    for key, (what, most) in COMPILING.items():
        if numbers.get(key) is not None:
            rows.append(_row(COMPILED[0], f"{COMPILED[1]}, {what}", numbers[key], most))
    if calibration and calibration["status"] == "ok":
        what = f"seconds to calibrate, {calibration['images']} images"
        rows.append(_row(calibration["network"], what, calibration["observe_s"], CALIBRATION_S))
    return rows


def _row(network: str, what: str, value: float, most: float, minima: float | None = None) -> dict:
    row = {"network": network, "what": what, "value": value, "value_min": minima}
    return {**row, "at_most": most, "met": value <= most}


def targets_table(rows: Iterable[Mapping[str, Any]]) -> viz.Table:
    """Return the table of what `targets` found."""
    headings = {
        "network": "network",
        "what": "what",
        "value": "measured",
        "value_min": "by minima",
        "at_most": "at most",
        "met": "met",
    }
    return viz.table(rows, headings, digits=3)


def calibration_line(record: Record) -> str:
    """Say what `race.calibration` measured, or why it did not."""
    if record["status"] != "ok":
        return f"calibration: {record['note']}"
    return (
        f"{record['network']}, {record['images']} images, preset accurate: calibrated in "
        f"{record['observe_s']:.1f} s, quantized after that in {record['quantize_s']:.1f} s"
    )
