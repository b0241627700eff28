"""How fast do networks run? This library and other toolkits, side by side.

    python benchmarks/latency.py --networks resnet18 --contestants 'tvm_book/*' 'openvino/*'

README.md beside this file says what is measured, and how.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from contest import machine, runner
from contest.table import OURS, framework, select
from race import artifacts, figure, heat, networks, report
from race.table import CONTESTANTS, SOURCES, Racer

HERE = Path(__file__).resolve().parent
PACKAGES = "tvm-book apache-tvm torch numpy onnx onnxscript onnxruntime openvino nncf".split()
SCHEMA = 1  # of the JSON file
SCALED = "resnet18"
SIZES = [(1, size) for size in (64, 96, 128, 192, 224, 320, 448)]
BATCHES = [(batch, 224) for batch in (2, 4, 8)]
IMAGES = 100  # to calibrate with
LIBRARY = ("tvm_book/**/*.py",)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; a name that matches nothing ends the program with a list of names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--networks", nargs="*", default=list(networks.PUBLISHED_SIZES), metavar="PATTERN")
    add("--contestants", nargs="+", default=["*"], metavar="PATTERN", help="names, * allowed")
    add("--batch", nargs="+", type=int, default=[1], metavar="N")
    add("--threads", type=int, default=_processors(), metavar="N", help="default: all processors")
    add("--isa", default=None, metavar="LEVEL", help="of our kernels; default: the best")
    add("--rounds", type=int, default=30, metavar="N", help="turns of each contestant")
    add("--calls", type=int, default=3, metavar="N", help="timed calls in a turn")
    add("--share", type=float, default=10, metavar="S", help="then a contestant has no more turns")
    add("--limit", type=float, default=60, metavar="S", help="to load and run once; for a turn")
    add("--prepare-limit", type=float, default=600, metavar="S", help="for each step before")
    add("--calibration", action="store_true", help=f"time calibration with {IMAGES} images")
    add("--scaling", action="store_true", help=f"time {SCALED} for image sizes and batches")
    add("--resume", action="store_true", help="keep what the output holds of this machine")
    add("--output", type=Path, default=HERE / "results", metavar="DIR", help="latency.json, .png")
    add("--cache", type=Path, default=None, metavar="DIR", help="default: cache in the output")
    add("--list", action="store_true", help="name all contestants and networks, and stop")
    options = parser.parse_args(argv)
    numbers = (options.threads, options.rounds, options.calls, options.share, options.limit)
    if min(*numbers, options.prepare_limit, *options.batch) <= 0:
        parser.error("numbers have to be positive")
    if options.threads > _processors():
        parser.error(f"--threads: this process may use {_processors()} processors")
    try:
        options.networks = select(options.networks, networks.NETWORKS)
        options.contestants = select(options.contestants, CONTESTANTS)
    except ValueError as error:
        parser.error(str(error))
    return options


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(options: argparse.Namespace, result: dict[str, Any], path: Path) -> None:
    """Add to `result` what it lacks, and write it to `path` after each heat."""
    heats = [(name, batch, None) for name in options.networks for batch in options.batch]
    _heats(options, heats, options.contestants, result, "results", path)
    if options.scaling:
        chosen = [name for name in options.contestants if framework(name) != "tvm"]
        chosen = [name for name in chosen if CONTESTANTS[name].networks == "*"]
        ours = [name for name in chosen if framework(name) == OURS]
        heats = [(SCALED, batch, size) for batch, size in SIZES + BATCHES]
        _heats(options, heats, ours or chosen, result, "scaling", path)
    if options.calibration and result["calibration"] is None:
        result["calibration"] = _calibration(options)
        write(result, path)


def _heats(
    options: argparse.Namespace,
    heats: Iterable[tuple[str, int, int | None]],
    contestants: Sequence[str],
    result: dict[str, Any],
    section: str,
    path: Path,
) -> None:
    for network, batch, size in heats:
        here = {"network": network, "batch": batch, "size": size}
        records = result[section]
        old = [record for record in records if {k: record[k] for k in here} == here]
        names = [n for n in contestants if fnmatch.fnmatch(network, CONTESTANTS[n].networks)]
        if set(names) <= {record["contestant"] for record in old}:
            continue  # only whole heats are kept: ratios are those of one run
        kept = [record for record in records if record not in old]
        result[section] = kept + compete(options, {**here, "threads": options.threads}, names)
        write(result, path)


def compete(
    options: argparse.Namespace, job: dict[str, Any], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Prepare the contestants, let them race, and return a record for each."""
    cache = (options.cache or options.output / "cache").resolve()
    limit_s, records, jobs = options.prepare_limit, {}, {}
    reference = artifacts.prepare("reference", SOURCES["reference"], job, cache, limit_s)
    for name in names:
        row = _row(name, options.isa)
        records[name] = {"contestant": name, "framework": framework(name), **job}
        note, status = runner.absent(row), "not installed"
        if note is None:
            try:
                folder = artifacts.prepare(name, row, job, cache, limit_s)
            except artifacts.Unprepared as error:
                note, status = str(error), "failed"
        if note is not None:
            records[name] |= {"status": status, "note": note}
            _progress(records[name])
            continue
        records[name] |= artifacts.result(folder)
        paths = {"prepared": str(folder), "reference": str(reference)}
        jobs[name] = {**job, **paths, "module": row.module}
    times = heat.race(jobs, options.rounds, options.calls, options.share, options.limit)
    for name, outcome in times.items():
        if isinstance(outcome, heat.Dropout):
            records[name] |= {"status": "failed", "note": str(outcome)}
        else:
            records[name] |= {"status": "ok", **outcome}
    for name in jobs:
        _progress(records[name])
    return list(records.values())


def _row(name: str, isa: str | None) -> Racer:
    row = CONTESTANTS[name]
    if isa is not None and framework(name) == OURS and not row.options:
        return dataclasses.replace(row, options={"isa": isa})
    return row


def _progress(record: dict[str, Any]) -> None:
    ok = record["status"] == "ok"
    note = f"{record['median_ms']:.3f} ms" if ok else record["note"]
    where = f"{record['network']}, batch {record['batch']}"
    if record["size"] is not None:
        where += f", size {record['size']}"
    print(f"{where}  {record['contestant']}: {note}", file=sys.stderr, flush=True)


def _calibration(options: argparse.Namespace) -> dict[str, Any]:
    job = {"network": SCALED, "batch": 1, "size": None, "threads": options.threads}
    record = {"network": SCALED, "status": "ok"}
    work = {**job, "module": "race.calibration", "options": {"images": IMAGES}, "source": None}
    with tempfile.TemporaryDirectory() as folder:
        note = runner.process("race.prepare", work, Path(folder), options.prepare_limit)
        if note is not None:
            return {**record, "status": "failed", "note": note}
        return {**record, **artifacts.result(Path(folder))}


def document(options: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Return what goes into the JSON file, with what `path` holds if that is to be resumed."""
    from tvm_book.backend import isa, resolve_target

    conditions = {
        "schema": SCHEMA,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": machine.describe(options.threads),
        "versions": machine.versions(PACKAGES),
        "library": artifacts.digest(*LIBRARY),
        "isa": options.isa,
    }
    levels = [level.name for level in isa.available(resolve_target("llvm"))]
    conditions["machine"]["levels"] = levels
    empty = {"results": [], "scaling": [], "calibration": None, "targets": []}
    if options.resume and path.exists():
        old = json.loads(path.read_text(encoding="utf-8"))
        if all(old.get(key) == value for key, value in conditions.items() if key != "date"):
            return {**empty, **old}
    return {**conditions, **empty}


def write(result: dict[str, Any], path: Path) -> None:
    """Judge by the targets, and replace the file."""
    result["targets"] = report.targets(result["results"], result["calibration"])
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    unfinished.replace(path)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the tables, and write ``latency.json`` and the figures."""
    options = arguments(argv)
    if options.list:
        print("\n".join([*networks.NETWORKS, *options.contestants]))
        return
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "latency.json"
    result = document(options, path)
    run(options, result, path)
    write(result, path)
    figure.save(figure.draw(result["results"]), options.output / "latency.png")
    if result["scaling"]:
        figure.save(figure.draw_scaling(result["scaling"]), options.output / "scaling.png")
    print(report.headline(result["machine"]))
    for records in (result["results"], result["scaling"]):
        if records:
            print(f"\n{report.results_table(records)}")
    if result["targets"]:
        print(f"\n{report.targets_table(result['targets'])}")
    if (calibration := result["calibration"]) is not None:
        print(f"\n{report.calibration_line(calibration)}")
    print(f"\n{path}")


if __name__ == "__main__":
    main()
