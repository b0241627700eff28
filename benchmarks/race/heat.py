"""One heat: a process for each contestant, and one of them runs at a time."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from contest import runner

from race.worker import SLOW_MS

__all__ = ["Dropout", "Runner", "race", "summary"]


class Dropout(Exception):
    """A contestant's process ended, or was ended; the message says why."""


class Runner(contextlib.AbstractContextManager):
    """The process of a contestant, which stands still except when it is its turn.

    Between turns the process is stopped. Threads that wait for work by spinning, as those of every
    framework here do for a while, would otherwise take the processor from the next contestant.

    Parameters
    ----------
    job : mapping
        As `race.worker` reads it.
    limit_s : float
        Seconds it may take until it is ready, first call included, and then for each turn.

    Raises
    ------
    Dropout
        If it fails, or takes longer.
    """

    def __init__(self, job: Mapping[str, Any], limit_s: float):
        self._limit_s, self._late = limit_s, False
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        self._stderr = folder / "stderr"
        command, options = runner.launch("race.worker", dict(job), folder)
        with self._stderr.open("wb") as stderr:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stderr}
            self._process = subprocess.Popen(command, **pipes, **options)
        try:
            self.start: dict[str, Any] = self._read()
        except Dropout:
            self.__exit__()
            raise
        # One call of a slow one is enough: noise and cold caches are small against it.
        self.slow = self.start["first_ms"] > SLOW_MS
        self.samples: list[float] = [self.start["first_ms"]] if self.slow else []

    @property
    def seconds(self) -> float:
        """How long all timed calls took together."""
        return sum(self.samples) / 1e3

    def turn(self, calls: int) -> None:
        """Run once to warm up, then time so many calls."""
        self._signal("SIGCONT")
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            self._process.stdin.write(json.dumps({"warmup": 1, "calls": calls}).encode() + b"\n")
            self._process.stdin.flush()
        self.samples += self._read()

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def _read(self) -> Any:
        timer = threading.Timer(self._limit_s, self._end)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if not line:
            status = self._process.wait()
            late = f"took longer than {self._limit_s:g} s" if self._late else None
            raise Dropout(late or runner.reason(status, self._stderr.read_bytes()))
        self._signal("SIGSTOP")
        return json.loads(line)

    def _end(self) -> None:
        self._late = True
        self._process.kill()

    def _signal(self, name: str) -> None:
        if hasattr(signal, name):  # not on Windows
            self._process.send_signal(getattr(signal, name))


def race(
    jobs: Mapping[str, Mapping[str, Any]], rounds: int, calls: int, share_s: float, limit_s: float
) -> dict[str, dict[str, Any] | Dropout]:
    """Let all run in turn, `rounds` times.

    Parameters
    ----------
    jobs : mapping of str to mapping
        For each contestant, as `race.worker` reads it.
    rounds, calls : int
        In each round, each makes so many timed calls.
    share_s : float
        Whose calls took longer than that together has no further turn.
    limit_s : float
        As for `Runner`.

    Returns
    -------
    dict
        For each contestant, `summary` of its times and what it said when it was ready; or why it
        dropped out.
    """
    results: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        runners = {}
        for name, job in jobs.items():
            try:
                runners[name] = stack.enter_context(Runner(job, limit_s))
            except Dropout as dropout:
                results[name] = dropout
        for _ in range(rounds):
            for name, one in runners.items():
                if one.slow or name in results or one.seconds > share_s:
                    continue
                try:
                    one.turn(calls)
                except Dropout as dropout:
                    results[name] = dropout
        for name, one in runners.items():
            if name not in results:
                results[name] = {**one.start, **summary(one.samples)}
    return results


def summary(samples: Sequence[float]) -> dict[str, float | int]:
    """Return minimum, quartiles and number of times.

    Examples
    --------
    >>> summary([3.0, 1.0, 2.0, 5.0, 4.0])
    {'min_ms': 1.0, 'q1_ms': 2.0, 'median_ms': 3.0, 'q3_ms': 4.0, 'samples': 5}
    """
    low, *quartiles = (float(x) for x in np.percentile(samples, [0, 25, 50, 75]))
    names = ("min_ms", "q1_ms", "median_ms", "q3_ms")
    return {**dict(zip(names, (low, *quartiles), strict=True)), "samples": len(samples)}
