"""Threads of a run: how many, on which cores, and who is left alone."""

import os
import threading

import pytest

from tvm_book.backend import _threads as threads

CORES = threads.available_threads()
several_cores = pytest.mark.skipif(CORES < 2, reason="one core has no place for a second thread")
with_proc = pytest.mark.skipif(
    not os.path.isdir("/proc/self/task"), reason="only Linux lists threads and their cores"
)


def in_new_thread(function):
    """A thread that has no pool yet; its result or its error."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    assert result, "the thread failed"
    return result[0]


@pytest.mark.parametrize("value", [0, -1, True, False, 1.0, "a", "2", [2]])
def test_what_is_no_number_of_threads(value):
    with pytest.raises(ValueError, match="threads must be an integer of at least 1, or None"):
        threads.check_threads(value)


def test_numbers_of_threads():
    assert [threads.check_threads(n) for n in (None, 1, 64)] == [None, 1, 64]


@pytest.mark.parametrize(
    ("tvm", "omp", "expected"),
    [("3", "5", 3), (None, "5", 5), (None, None, CORES), ("", "x", CORES), ("0", None, CORES)],
)
def test_the_environment_says_how_many(monkeypatch, tvm, omp, expected):
    for name, value in (("TVM_NUM_THREADS", tvm), ("OMP_NUM_THREADS", omp)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert threads.default_threads() == expected


def test_no_more_run_than_there_are_cores():
    def numbers():
        return [threads.use_threads(n) for n in (1, CORES, CORES + 3, 1, CORES)]

    assert in_new_thread(numbers) == [1, CORES, CORES, 1, CORES]


@several_cores
@with_proc
def test_workers_keep_off_the_core_of_their_caller(monkeypatch):
    cores = sorted(os.sched_getaffinity(0))
    stands = [cores[0]]
    monkeypatch.setattr(threads, "_this_core", lambda: stands[0])

    def bound():
        before = set(os.listdir("/proc/self/task"))
        found = []
        for core in (cores[0], cores[1], cores[1], cores[-1]):
            stands[0] = core
            threads.use_threads(CORES)
            workers = sorted(set(os.listdir("/proc/self/task")) - before, key=int)
            found.append((core, [os.sched_getaffinity(int(worker)) for worker in workers]))
        return found, os.sched_getaffinity(0)

    found, own = in_new_thread(bound)
    assert own == set(cores)  # the caller may still go anywhere
    for core, workers in found:
        others = [c for c in cores if c != core]
        assert sorted(map(min, workers)) == others and all(len(w) == 1 for w in workers)


@several_cores
def test_nothing_is_configured_twice(monkeypatch):
    monkeypatch.setattr(threads, "_this_core", lambda: sorted(os.sched_getaffinity(0))[0])
    calls = []

    def count():
        config = threads._config()
        monkeypatch.setattr(threads, "_config", lambda: lambda *a: (calls.append(a), config(*a)))
        for _ in range(5):
            threads.use_threads(2)
        threads.use_threads(1)
        return [number for _, number, _ in calls]

    assert in_new_thread(count) == [2, 1]
