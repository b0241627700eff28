"""How accurate, how fast, how large? Every quantizer on the same trained networks.

    python benchmarks/accuracy.py --networks resnet --contestants 'tvm_book/*' 'nncf/*'

README.md beside this file says what is measured, and how.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from contest import figure, machine, networks, report, runner
from contest.table import CONTESTANTS, select
from contest.torch_ import predictor

from tvm_book.testing import digits

HERE = Path(__file__).resolve().parent
PACKAGES = (
    "tvm-book apache-tvm torch numpy onnx onnxscript onnxruntime openvino nncf torchao".split()
)
SCHEMA = 1  # of the JSON file


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; a name that matches nothing ends the program with a list of names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--networks", nargs="+", default=["*"], metavar="PATTERN", help="names, * allowed")
    add("--contestants", nargs="+", default=["*"], metavar="PATTERN", help="names, * allowed")
    add("--repeat", type=int, default=1, help="processes a contestant; medians are reported")
    add("--threads", type=int, default=1, help="processors a contestant may use")
    add("--limit", type=float, default=600, metavar="S", help="seconds a process may take")
    add("--output", type=Path, default=HERE / "results", metavar="DIR", help="accuracy.json, .png")
    add("--cache", type=Path, default=None, metavar="DIR", help="trained weights; default: output")
    add("--list", action="store_true", help="name all contestants and networks, and stop")
    options = parser.parse_args(argv)
    if min(options.repeat, options.threads, options.limit) <= 0:
        parser.error("--repeat, --threads and --limit have to be positive")
    try:
        options.networks = select(options.networks, digits.NETWORKS)
        options.contestants = select(options.contestants, CONTESTANTS)
    except ValueError as error:
        parser.error(str(error))
    return options


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Let the chosen contestants compete, and return a record for each and each network."""
    parts = networks.data()
    records = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        np.savez(data, calibration=parts.calibration, test=parts.test_x)
        for network in options.networks:
            weights = networks.trained(network, parts, (options.cache or options.output).resolve())
            reference = predictor(networks.load(network, weights))(parts.test_x)
            job = {"network": network, "weights": str(weights), "data": str(data)}
            job["threads"] = options.threads
            for name in options.contestants:
                contestant = CONTESTANTS[name]
                if not fnmatch.fnmatch(network, contestant.networks):
                    continue
                record, logits = runner.compete(
                    name, contestant, job, options.repeat, options.limit
                )
                if logits is not None:
                    record |= report.score(reference, logits, parts.test_y)
                records.append(record)
                _progress(record)
    return records


def _progress(record: dict[str, Any]) -> None:
    if record["status"] == "ok":
        sqnr = "exact" if record["sqnr_db"] is None else f"{record['sqnr_db']:.2f} dB"
        note = f"{sqnr}, {record['seconds']:.2f} s"
    else:
        note = record["note"]
    print(f"{record['network']}  {record['contestant']}: {note}", file=sys.stderr, flush=True)


def document(options: argparse.Namespace, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return all that goes into the JSON file."""
    return {
        "schema": SCHEMA,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": machine.describe(options.threads),
        "versions": machine.versions(PACKAGES),
        "results": records,
        "targets": report.targets(records),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the tables, and write ``accuracy.json`` and ``accuracy.png``."""
    options = arguments(argv)
    if options.list:
        print("\n".join([*options.networks, *options.contestants]))
        return
    options.output.mkdir(parents=True, exist_ok=True)
    records = run(options)
    result = document(options, records)
    path = options.output / "accuracy.json"
    path.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    figure.save(records, options.output / "accuracy.png")
    print(report.results_table(records))
    if result["targets"]:
        print()
        print(report.targets_table(result["targets"]))
    print(f"\n{path}")


if __name__ == "__main__":
    main()
