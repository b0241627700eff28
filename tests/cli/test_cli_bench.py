import json
import statistics

import numpy as np
import pytest

import tvm_book


def test_models_are_timed_in_turns(invoke):
    """The float model, whose batch is dynamic, takes that of the compiled one."""
    result = invoke("bench", "any.onnx", "out", "--rounds", "3", "--threads", "1", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert (document["rounds"], document["random"]) == (3, True)
    first, second = document["models"]
    assert [first["model"], second["model"]] == ["any.onnx", "out"]
    for row in document["models"]:
        assert row["inputs"] == ["data: float32 (1, 3, 8, 8)"]
        assert row["threads"] == 1
        assert len(row["samples_ms"]) == 3
        assert row["min_ms"] == min(row["samples_ms"]) > 0
        assert row["median_ms"] == statistics.median(row["samples_ms"])
        assert "profile" not in row
    assert first["times_as_fast"] == 1.0
    ratios = np.divide(first["samples_ms"], second["samples_ms"])
    assert second["times_as_fast"] == pytest.approx(float(np.median(ratios)))
    assert first["calls_in_a_round"] == second["calls_in_a_round"]


def test_data_and_levels_are_used(invoke):
    args = ("bench", "any.onnx", "--data", "data.npz", "--batch-size", "3", "--isa", "portable")
    result = invoke(*args, "--rounds", "1", "--json")
    (row,) = json.loads(result.stdout)["models"]
    assert (row["inputs"], row["isa"]) == (["data: float32 (3, 3, 8, 8)"], "portable")
    assert json.loads(result.stdout)["random"] is False


def test_profiles_are_those_of_the_model(invoke, shop):
    args = ("bench", "out", "--rounds", "1", "--profile")
    (row,) = json.loads(invoke(*args, "--json").stdout)["models"]
    run = tvm_book.load(shop / "out" / "model.so")
    wanted = run.profile(np.zeros((1, 3, 8, 8), "float32")).rows
    found = row["profile"]["rows"]
    assert [one["function"] for one in found] == [one["function"] for one in wanted]
    text = invoke(*args).stdout
    for one in found:
        assert one["dtype"] in text
    assert "The slowest:" in text
    assert text.startswith("1 round, threads ")


def test_a_model_is_timed_once(invoke):
    result = invoke("bench", "out", "out", "--rounds", "1", "--json")
    assert len(json.loads(result.stdout)["models"]) == 1
