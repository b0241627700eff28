"""PassTimeline: who took how long inside whom."""

import time

import pytest
import tvm
from tvm.script import ir as I
from tvm.script import relax as R

from tvm_book.instrument import PassTimeline


@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor((4,), "float32")):
        return x


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the passes below move, in milliseconds."""

    class Clock:
        ms = 0.0

    monkeypatch.setattr(time, "perf_counter", lambda: Clock.ms / 1e3)
    return Clock


def work(clock, name, *steps):
    """Make a pass that spends its numbers and runs its passes, one after the other."""

    @tvm.transform.module_pass(opt_level=0, name=name)
    def run(mod, _):
        for step in steps:
            if isinstance(step, float):
                clock.ms += step
            elif isinstance(step, Exception):
                raise step
            else:
                mod = step(mod)
        return mod

    return run


def rows(timeline):
    return [
        (r.name, r.depth, round(r.total_ms, 6), round(r.self_ms, 6), r.finished)
        for r in timeline.records
    ]


def test_total_and_own_time_of_nested_passes(clock):
    inner = work(clock, "Inner", 4.0)
    outer = work(clock, "Outer", 1.0, inner, 2.0, work(clock, "Second", 8.0, inner))
    timeline = PassTimeline()
    with tvm.transform.PassContext(instruments=[timeline]):
        outer(Module)
        clock.ms += 100  # between passes: nobody's
        inner(Module)
    assert rows(timeline) == [
        ("Outer", 0, 19.0, 3.0, True),
        ("Inner", 1, 4.0, 4.0, True),
        ("Second", 1, 12.0, 8.0, True),
        ("Inner", 2, 4.0, 4.0, True),
        ("Inner", 0, 4.0, 4.0, True),
    ]
    assert timeline.table().splitlines() == [
        "pass        total ms    self ms   share",
        "Outer         19.000      3.000   82.6%",
        "  Inner        4.000      4.000   17.4%",
        "  Second      12.000      8.000   52.2%",
        "    Inner      4.000      4.000   17.4%",
        "Inner          4.000      4.000   17.4%",
        "sum           23.000",
    ]
    assert repr(timeline) == timeline.table()


def test_rows_can_be_left_out(clock):
    timeline = PassTimeline()
    with tvm.transform.PassContext(instruments=[timeline]):
        work(clock, "Outer", work(clock, "Quick", 1.0), work(clock, "Slow", 9.0))(Module)

    def names(**options):
        return [line.split()[0] for line in timeline.table(**options).splitlines()[1:]]

    assert names() == ["Outer", "Quick", "Slow", "sum"]
    assert names(min_ms=5.0) == ["Outer", "Slow", "sum"]
    assert names(max_depth=0) == ["Outer", "sum"]


def test_a_failing_pass_is_recorded(clock):
    broken = work(clock, "Broken", 2.0, ValueError("on purpose"))
    timeline = PassTimeline()
    with pytest.raises(ValueError, match="on purpose"):
        with tvm.transform.PassContext(instruments=[timeline]):
            work(clock, "Outer", 1.0, broken)(Module)
    assert rows(timeline) == [("Outer", 0, 3.0, 1.0, False), ("Broken", 1, 2.0, 2.0, False)]
    assert "  Broken (failed)" in timeline.table()


def test_a_failure_that_the_caller_survives(clock):
    broken = work(clock, "Broken", 2.0, ValueError("on purpose"))

    @tvm.transform.module_pass(opt_level=0, name="Tolerant")
    def tolerant(mod, _):
        with pytest.raises(ValueError, match="on purpose"):
            broken(mod)
        return mod

    timeline = PassTimeline()
    with tvm.transform.PassContext(instruments=[timeline]):
        tolerant(Module)
        work(clock, "Next", 5.0)(Module)
    assert rows(timeline) == [
        ("Tolerant", 0, 2.0, 0.0, True),
        ("Broken", 1, 2.0, 2.0, False),
        ("Next", 0, 5.0, 5.0, True),
    ]


def test_contexts_add_up_and_an_empty_timeline_prints(clock):
    timeline = PassTimeline()
    assert timeline.table().splitlines()[-1].split() == ["sum", "0.000"]
    for _ in range(2):
        with tvm.transform.PassContext(instruments=[timeline]):
            work(clock, "Once", 1.0)(Module)
    assert [r.name for r in timeline.records] == ["Once", "Once"]
