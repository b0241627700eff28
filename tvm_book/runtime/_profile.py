"""Time each call of a run."""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import relax

from ..backend import Step, peak
from ..backend.isa import LEVELS

__all__ = ["profile_rows", "watch"]

Seconds = float
ARGUMENTS, TRIALS = 8, 100


def watch(
    executable: relax.VMExecutable | tvm.runtime.Module,
    tensors: Sequence[tvm.runtime.Tensor],
    ready: Callable[[], Any],
    runs: int,
) -> list[tuple[str, Seconds]]:
    """Run a model several times and return what it called, in order, with the median time.

    Calls are timed in place, between their neighbours, so that caches hold what they hold in a
    run. The clock is read in Python on both sides of a call. What that adds is subtracted: the time
    of the virtual machine's fastest own call, which does nothing and has no arguments, and the time
    that it takes to hand each argument to Python.

    Parameters
    ----------
    executable
    tensors
    ready : callable
        Called before each run.
    runs : int
    """
    machine = relax.VirtualMachine(executable, tvm.cpu())
    argument = _seconds_per_argument()
    log: list[tuple[str, Seconds]] = []
    open_calls: list[Seconds] = []  # a call of a Relax function holds others

    def instrument(_func: Any, name: str, before: bool, _result: Any, *args: Any) -> None:
        now = time.perf_counter()
        if not before:
            log.append((name, now - open_calls.pop() - len(args) * argument))
        else:
            open_calls.append(time.perf_counter())

    machine.set_instrument(instrument)
    times: dict[int, list[Seconds]] = defaultdict(list)
    for _ in range(runs):
        log.clear()
        ready()
        machine["main"](*tensors)
        for place, (_, seconds) in enumerate(log):
            times[place].append(seconds)
    medians = [statistics.median(times[place]) for place in range(len(log))]
    medians = [max(median, 0.0) for median in medians]
    own = [m for (name, _), m in zip(log, medians, strict=True) if name.startswith("vm.builtin.")]
    nothing = min(own, default=0.0)
    return [(name, m - nothing) for (name, _), m in zip(log, medians, strict=True)]


def _seconds_per_argument() -> Seconds:
    """Measure how long TVM takes to hand a tensor to a Python function."""
    function = tvm_ffi.convert(lambda *_: None)
    tensor = tvm.runtime.tensor(np.zeros(1, "float32"))
    times = []
    for arguments in ((), (tensor,) * ARGUMENTS):
        trials = []
        for _ in range(TRIALS):
            start = time.perf_counter()
            function(*arguments)
            trials.append(time.perf_counter() - start)
        times.append(statistics.median(trials))
    return max(0.0, times[1] - times[0]) / ARGUMENTS


def profile_rows(
    calls: Sequence[tuple[str, Seconds]], steps: Sequence[Step], threads: int
) -> list[dict[str, Any]]:
    """Join the times of a run with what is known of its calls; one row a call.

    A function that is called several times stands for its steps in their order.
    """
    known: dict[str, list[Step]] = defaultdict(list)
    for step in steps:
        known[step.function].append(step)
    seen: Counter[str] = Counter()
    found = []
    for name, seconds in calls:
        if name in known:
            found.append((known[name][seen[name] % len(known[name])], max(seconds, 1e-9)))
            seen[name] += 1
    total = sum(seconds for _, seconds in found)
    return [_row(step, seconds, seconds / total, threads) for step, seconds in found]


def _row(step: Step, seconds: Seconds, share: float, threads: int) -> dict[str, Any]:
    gops = step.operations / seconds / 1e9 if step.operations else None
    best = None
    if gops is not None and step.isa in LEVELS and step.dtype in ("int8", "float32"):
        best = gops / peak(step.isa, step.dtype, threads)
    return {
        "layer": step.layer,
        "operators": ", ".join(step.operators),
        "shape": step.shape,
        "dtype": step.dtype,
        "isa": step.isa,
        "us": seconds * 1e6,
        "gops": gops,
        "peak": best,
        "share": share,
        "why": step.reason,
        "function": step.function,
    }
