"""Timing: many short calls make one sample, many samples one result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

_SAMPLE_SECONDS = 0.01  # long against the clock's and the scheduler's grain


@dataclass(frozen=True, repr=False)
class Benchmark:
    """Run times of a model, in milliseconds per call.

    Attributes
    ----------
    samples : tuple of float
        The mean time of `number` calls, once per repetition.
    number : int
        Calls in a sample.

    Examples
    --------
    >>> from tvm_book.runtime import Benchmark
    >>> times = Benchmark((2.0, 1.0, 4.0, 3.0, 2.5), number=8)
    >>> times
    Benchmark(median 2.5 ms, min 1 ms, max 4 ms, spread 1 ms; 5 samples of 8 calls)
    >>> times.median
    2.5
    """

    samples: tuple[float, ...]
    number: int

    @property
    def median(self) -> float:
        """The median sample."""
        return float(np.median(self.samples))

    @property
    def min(self) -> float:
        """The fastest sample: the one that other work on the machine disturbed least."""
        return min(self.samples)

    @property
    def max(self) -> float:
        """The slowest sample."""
        return max(self.samples)

    @property
    def spread(self) -> float:
        """The interquartile range: how far apart the middle half of the samples lies."""
        low, high = np.percentile(self.samples, [25, 75])
        return float(high - low)

    def __repr__(self) -> str:
        times = ", ".join(
            f"{name} {getattr(self, name):.4g} ms" for name in ("median", "min", "max", "spread")
        )
        return f"Benchmark({times}; {len(self.samples)} samples of {self.number} calls)"


def measure(
    call: Callable[[], object], *, repeat: int, number: int | None, warmup: int
) -> Benchmark:
    """Time `call`; see `CompiledModel.benchmark` for the parameters."""
    return measure_by(partial(_seconds, call), repeat=repeat, number=number, warmup=warmup)


def measure_by(
    seconds: Callable[[int], float], *, repeat: int, number: int | None, warmup: int
) -> Benchmark:
    """Measure with a function that makes so many calls, and returns how long they took."""
    for name, value, least in (("repeat", repeat, 1), ("number", number, 1), ("warmup", warmup, 0)):
        if value is None and name == "number":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, not {value!r}")
    if warmup:
        seconds(warmup)
    if number is None:
        number = _calls_for(seconds, _SAMPLE_SECONDS)
    return Benchmark(tuple(seconds(number) / number * 1e3 for _ in range(repeat)), number)


def _seconds(call: Callable[[], object], number: int) -> float:
    start = time.perf_counter()
    for _ in range(number):
        call()
    return time.perf_counter() - start


def _calls_for(seconds: Callable[[int], float], least: float) -> int:
    number = 1
    while (elapsed := seconds(number)) < least:
        # A short trial overestimates the time of a call: go on from a longer one.
        number = math.ceil(number * min(10.0, 1.1 * least / max(elapsed, 1e-9)))
    return number
