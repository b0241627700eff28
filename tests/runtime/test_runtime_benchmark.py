"""Timing."""

import time

import pytest

from tvm_book.runtime import Benchmark
from tvm_book.runtime._benchmark import measure


class Clock:
    """A call that takes a known time on a clock of its own."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.calls, self.seconds = 0.0, 0, seconds
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def __call__(self):
        self.now += self.seconds
        self.calls += 1


def test_samples_are_milliseconds_per_call(monkeypatch):
    call = Clock(monkeypatch, 0.25)
    times = measure(call, repeat=3, number=4, warmup=5)
    assert times == Benchmark((250.0, 250.0, 250.0), 4)
    assert call.calls == 5 + 3 * 4


@pytest.mark.parametrize("seconds", [1e-6, 3e-5, 2e-3, 0.009, 0.5])
def test_samples_are_long_enough_but_not_much_longer(monkeypatch, seconds):
    times = measure(Clock(monkeypatch, seconds), repeat=1, number=None, warmup=0)
    assert 0.0099 <= times.number * seconds <= max(0.02, seconds)


def test_a_call_too_short_for_the_clock(monkeypatch):
    call = Clock(monkeypatch, 0.0)
    monkeypatch.setattr(time, "perf_counter", lambda: call.calls // 1000 * 0.011)
    assert 100 <= measure(call, repeat=1, number=None, warmup=0).number <= 10_000


def test_statistics():
    times = Benchmark((5.0, 1.0, 2.0, 3.0, 100.0), number=7)
    assert (times.min, times.median, times.max) == (1.0, 3.0, 100.0)
    assert times.spread == 3.0  # quartiles 2 and 5: one bad sample does not move it
    assert str(times).count("\n") == 0


@pytest.mark.parametrize(
    "option", [{"repeat": 0}, {"repeat": None}, {"number": 0}, {"number": 1.5}, {"warmup": -1}]
)
def test_wrong_options(option):
    name = next(iter(option))
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least"):
        measure(lambda: None, **{"repeat": 1, "number": 1, "warmup": 0, **option})
