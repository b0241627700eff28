"""What contestants run, prepared once: the folder's name changes with all it comes from."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contest import machine, runner

from race.table import SOURCES, Racer

__all__ = ["Unprepared", "digest", "prepare", "result"]

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = ("benchmarks/race/networks.py", "tvm_book/testing/models/*.py")
PACKAGES = ("torch", "numpy", "apache-tvm")


class Unprepared(Exception):
    """A contestant cannot run; the message says why."""


def prepare(name: str, row: Racer, job: Mapping[str, Any], cache: Path, limit_s: float) -> Path:
    """Return the folder of a row's preparations, made now unless they are there.

    Parameters
    ----------
    name : str
    row : Racer
    job : mapping
        ``network``, ``batch``, ``size`` (None: the published one) and ``threads``.
    cache : pathlib.Path
    limit_s : float
        Seconds that one step may take.

    Raises
    ------
    Unprepared
        If it fails or takes longer.
    """
    source, threads = None, job["threads"]
    if row.source:
        source = prepare(row.source, SOURCES[row.source], job, cache, limit_s)
    else:
        job = {**job, "threads": None}  # only compiled code may be cut for a number of threads
    prefix, key = _prefix(name, job), _key(row, job, source)
    folder = cache / f"{prefix}-{key}"
    if folder.exists():
        return folder
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    work = dict(
        job,
        threads=threads,
        module=row.module,
        options=dict(row.options),
        source=source and str(source),
    )
    note = runner.process("race.prepare", work, unfinished.resolve(), limit_s)
    if note is not None:
        shutil.rmtree(unfinished)
        raise Unprepared(note)
    for outdated in cache.glob(f"{prefix}-{'?' * len(key)}"):
        shutil.rmtree(outdated)
    return unfinished.replace(folder)


def result(folder: Path) -> dict[str, Any]:
    """Return the numbers that were taken down while a folder was prepared."""
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def digest(*patterns: str) -> str:
    """Return a short text that changes with the files that match, seen from the root."""
    total = hashlib.sha256()
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            total.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return total.hexdigest()[:16]


def _prefix(name: str, job: Mapping[str, Any]) -> str:
    parts = [job["network"], f"batch{job['batch']}", name]
    parts += [f"{key}{job[key]}" for key in ("size", "threads") if job[key] is not None]
    return "-".join(parts).replace("/", "_")


def _key(row: Racer, job: Mapping[str, Any], source: Path | None) -> str:
    module = importlib.util.find_spec(row.module)
    own = hashlib.sha256(Path(module.origin).read_bytes()).hexdigest() if module else ""
    parts = {
        "job": dict(job),
        "options": dict(row.options),
        "source": source and source.name,
        "files": digest(*NETWORKS, *row.reads) + own,
        "versions": machine.versions((*PACKAGES, *row.needs)),
        "processor": machine.processor(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
