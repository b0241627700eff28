"""Functions timed in turns."""

import time

import pytest

from tvm_book.testing.timing import take_turns


def test_turns_alternate_after_one_call_of_each():
    log = []
    calls = {name: lambda name=name: log.append(name) for name in "ab"}
    times = take_turns(calls, rounds=2, number=3)
    assert "".join(log) == "ab" + "aaabbb" * 2
    assert {name: len(each) for name, each in times.items()} == {"a": 2, "b": 2}


def test_times_are_milliseconds_per_call():
    times = take_turns({"sleep": lambda: time.sleep(0.005)}, rounds=3, number=2)
    assert 5 <= min(times["sleep"]) < 10  # the shortest of three is late by less than its length


@pytest.mark.parametrize("name", ["rounds", "number"])
def test_bad_input(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        take_turns({"a": int}, **{name: 0})
