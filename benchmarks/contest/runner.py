"""Give each contestant a process of its own, and take down how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from contest.table import Contestant, framework, missing

__all__ = ["INSTALL", "absent", "compete", "launch", "process", "reason"]

INSTALL = "pip install .[bench]"
BENCHMARKS = Path(__file__).resolve().parents[1]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TVM_NUM_THREADS")


def compete(
    name: str, contestant: Contestant, job: dict[str, Any], repeat: int = 1, limit_s: float = 600
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Run one contestant `repeat` times; a failure is a result too, never an exception.

    Parameters
    ----------
    name : str
        In the table and in the report.
    contestant : Contestant
    job : dict
        ``network``, ``weights``, ``data`` (an npz file with float32 ``calibration`` and ``test``
        (N, 1, 8, 8)) and ``threads``, as `contest.worker` reads them.
    repeat : int
        Number of processes; times and memory are medians over them.
    limit_s : float
        A process that takes longer is ended: this contestant has failed.

    Returns
    -------
    record : dict
        ``contestant``, ``framework``, ``network``, and ``status``: ``"ok"``, ``"failed"`` or
        ``"not installed"``. The latter two have a ``note`` that says why; ``"ok"`` comes with
        times in seconds, memory in MiB, and whether all repetitions gave the same ``logits``.
    logits : numpy.ndarray or None
        Of the first process, float32 (N, 10).
    """
    record = {"contestant": name, "framework": framework(name), "network": job["network"]}
    if note := absent(contestant):
        return {**record, "status": "not installed", "note": note}, None
    job = {**job, "module": contestant.module, "options": dict(contestant.options)}
    runs, logits = [], []
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as folder:
            note = process("contest.worker", job, Path(folder), limit_s)
            if note is not None:
                return {**record, "status": "failed", "note": note}, None
            runs.append(json.loads((Path(folder) / "result.json").read_text(encoding="utf-8")))
            logits.append(np.load(Path(folder) / "logits.npy"))
    same = all(np.array_equal(logits[0], other) for other in logits)
    record |= {"status": "ok", "repeat": repeat, "reproducible": same}
    return {**record, **_medians(runs)}, logits[0]


def _medians(runs: list[dict[str, float | None]]) -> dict[str, float | None]:
    columns = {key: [run[key] for run in runs] for key in runs[0]}
    return {key: None if None in values else median(values) for key, values in columns.items()}


def process(module: str, job: dict[str, Any], folder: Path, limit_s: float) -> str | None:
    """Do the job, which says how many ``threads``, in a new process: ``python -m MODULE FOLDER``.

    Returns
    -------
    str or None
        What went wrong.
    """
    command, options = launch(module, job, folder)
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, **options
        )
    except subprocess.TimeoutExpired:
        return f"took longer than {limit_s:g} s"
    return reason(ended.returncode, ended.stderr) if ended.returncode else None


def launch(module: str, job: dict[str, Any], folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Write the job down in `folder`; return the command and the options that start it there."""
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(job["threads"]))}
    paths = [str(BENCHMARKS), str(BENCHMARKS.parent), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return [sys.executable, "-m", module, str(folder)], {"env": environment, "cwd": folder}


def reason(status: int, stderr: bytes) -> str:
    """Say in a line why a process ended with another status than 0."""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else f"ended with status {status}"


def absent(contestant: Contestant) -> str | None:
    """Say what a contestant lacks, None if nothing."""
    lacking = ", ".join(missing(contestant))
    return f"not installed: {INSTALL} (lacks {lacking})" if lacking else None
