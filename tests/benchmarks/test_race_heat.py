"""Contestants that do as they are told: what is timed, who stands still, who drops out."""

import json
import time

import numpy as np
import pytest
from race import artifacts, heat
from race.table import SOURCES, Racer

FAKE = """
import os, pathlib, time

def prepare(job, source, folder):
    (folder / "made.txt").write_text(f"{job['network']} {source and source.name}")
    if "raise" in job["options"]:
        raise ValueError(job["options"]["raise"])
    return {"compile_s": 1.5}

def load(job, folder):
    print("chatter of a framework", flush=True)
    calls = 0

    def call(data):
        nonlocal calls
        calls += 1
        with open(job["log"], "a") as log:
            print(job["mark"], file=log)
        if calls > job.get("die_after", 99):
            os.abort()
        time.sleep(job["seconds"])
        return [data + job["mark"]]

    return call
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A module that sleeps, and writes down when it is called."""
    (tmp_path / "fake.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    np.save(tmp_path / "input.npy", np.ones(3, "float32"))
    np.save(tmp_path / "output.npy", np.ones(3, "float32"))
    paths = {"prepared": str(tmp_path), "reference": str(tmp_path), "log": str(tmp_path / "log")}
    return {"module": "fake", "threads": 1, **paths, "seconds": 0.001, "mark": 0}


def order(job):
    with open(job["log"]) as log:
        return [int(line) for line in log]


def test_contestants_run_in_turn(fake):
    jobs = {"a": {**fake, "mark": 1}, "b": {**fake, "mark": 2}}
    times = heat.race(jobs, rounds=2, calls=3, share_s=9, limit_s=60)
    # The first call of each, then in every round one to warm up and three that are timed.
    assert order(fake) == [1, 2] + 2 * (4 * [1] + 4 * [2])
    assert times["a"]["samples"] == times["b"]["samples"] == 6
    assert times["a"]["min_ms"] >= 1
    assert times["a"]["sqnr_db"] == pytest.approx(0)  # the output is twice what it has to be
    assert times["b"]["sqnr_db"] == pytest.approx(-20 * np.log10(2))


def test_a_process_stands_still_between_turns(fake):
    with heat.Runner(fake, limit_s=60) as runner:
        status = f"/proc/{runner._process.pid}/stat"
        try:
            states = []
            for _ in range(100):  # the signal takes a moment to arrive
                with open(status) as file:
                    states.append(file.read().rsplit(")", 1)[1].split()[0])
                if states[-1] == "T":
                    break
                time.sleep(0.01)
        except OSError:
            pytest.skip("this system has no /proc")
        assert states[-1] == "T"
        runner.turn(2)
        assert len(runner.samples) == 2


def test_who_had_his_share_has_no_further_turn(fake):
    jobs = {"a": {**fake, "mark": 1, "seconds": 0.6}, "b": {**fake, "mark": 2}}
    times = heat.race(jobs, rounds=4, calls=2, share_s=1, limit_s=60)
    assert times["a"]["samples"] == 2  # whose second call passed the share
    assert times["b"]["samples"] == 8


def test_one_call_of_a_slow_contestant_is_enough(fake, monkeypatch):
    monkeypatch.setattr(heat, "SLOW_MS", 100)
    times = heat.race({"a": {**fake, "seconds": 0.15}}, 5, 3, share_s=9, limit_s=60)
    assert order(fake) == [0]
    assert times["a"]["samples"] == 1
    assert times["a"]["median_ms"] == times["a"]["first_ms"] >= 150


def test_who_drops_out_stops_nobody(fake):
    jobs = {
        "late": {**fake, "seconds": 60},
        "gone": {**fake, "module": "no_such_module"},
        "dies": {**fake, "die_after": 1},
        "good": fake,
    }
    times = heat.race(jobs, rounds=2, calls=1, share_s=9, limit_s=10)
    assert str(times["late"]) == "took longer than 10 s"
    assert "No module named 'no_such_module'" in str(times["gone"])
    assert str(times["dies"]) == "ended by SIGABRT"
    assert times["good"]["samples"] == 2


JOB = {"network": "n", "batch": 1, "size": None, "threads": 1}


def test_preparations_are_kept_until_something_changes(fake, tmp_path, monkeypatch):
    row, cache = Racer("fake", {"x": 1}), tmp_path / "cache"
    folder = artifacts.prepare("a/b", row, JOB, cache, 60)
    assert artifacts.result(folder) == {"compile_s": 1.5}
    assert (folder / "made.txt").read_text() == "n None"
    with monkeypatch.context() as patch:
        patch.setattr(artifacts.runner, "process", None)  # would fail if it were called
        assert artifacts.prepare("a/b", row, JOB, cache, 60) == folder
        # Nothing that has no source is compiled for a number of threads.
        assert artifacts.prepare("a/b", row, {**JOB, "threads": 2}, cache, 60) == folder
    other = artifacts.prepare("a/b", Racer("fake", {"x": 2}), JOB, cache, 60)
    assert list(cache.iterdir()) == [other]  # what is out of date is gone
    (tmp_path / "fake.py").write_text(FAKE + "\n")
    assert artifacts.prepare("a/b", Racer("fake", {"x": 2}), JOB, cache, 60) != other


def test_a_source_is_prepared_first_and_counts(fake, tmp_path, monkeypatch):
    monkeypatch.setitem(SOURCES, "s", Racer("fake"))
    row, cache = Racer("fake", source="s"), tmp_path / "cache"
    folder = artifacts.prepare("a", row, JOB, cache, 60)
    (source,) = cache.glob("n-batch1-s-*")
    assert (folder / "made.txt").read_text() == f"n {source.name}"
    monkeypatch.setitem(SOURCES, "s", Racer("fake", {"x": 1}))
    assert artifacts.prepare("a", row, JOB, cache, 60) != folder


def test_preparations_that_fail_leave_nothing_behind(fake, tmp_path):
    with pytest.raises(artifacts.Unprepared, match="^ValueError: out of luck$"):
        artifacts.prepare("a", Racer("fake", {"raise": "out of luck"}), JOB, tmp_path / "c", 60)
    assert list((tmp_path / "c").iterdir()) == []


def test_the_digest_changes_with_files(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "ROOT", tmp_path)
    (tmp_path / "a.py").write_text("1")
    first = artifacts.digest("*.py")
    assert artifacts.digest("*.py") == first
    (tmp_path / "a.py").write_text("2")
    assert artifacts.digest("*.py") != first


def test_jobs_are_json():
    for row in SOURCES.values():
        assert json.loads(json.dumps(row.options)) == dict(row.options)
