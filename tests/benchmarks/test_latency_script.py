import fnmatch
import importlib.util
import json
import re
from pathlib import Path

import latency
import numpy as np
import pytest
from race import networks
from race.table import CONTESTANTS, SOURCES, Racer


@pytest.mark.parametrize("name", CONTESTANTS)
def test_every_row_of_the_table_can_be_run(name):
    row = CONTESTANTS[name]
    assert importlib.util.find_spec(row.module)
    assert not row.source or row.source in SOURCES
    assert fnmatch.filter(networks.NETWORKS, row.networks)
    assert bool(row.needs) == (name.split("/")[0] in ("onnxruntime", "openvino"))


@pytest.mark.parametrize("pattern", sorted({p for row in CONTESTANTS.values() for p in row.reads}))
def test_patterns_of_files_match_some(pattern):
    assert any(Path(latency.HERE.parent).glob(pattern))


def test_our_levels_and_options_exist():
    from tvm_book import quantize
    from tvm_book.backend.isa import LEVELS

    for row in CONTESTANTS.values():
        assert row.options.get("isa", "portable") in LEVELS
    quantize.qconfig(**SOURCES["relax/int8"].options["qconfig"])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--networks", "lenet"], "nothing is called 'lenet'; there are: resnet18"),
        (["--contestants", "tflite/*"], "nothing is called 'tflite/.'"),
        (["--rounds", "0"], "have to be positive"),
        (["--batch", "1", "-1"], "have to be positive|expected at least one"),
        (["--threads", "100000"], "may use [0-9]+ processors"),
    ],
)
def test_wrong_arguments_are_told(argv, message, capsys):
    with pytest.raises(SystemExit):
        latency.arguments(argv)
    assert re.search(message, capsys.readouterr().err)


def test_a_level_is_for_rows_that_do_not_have_one():
    assert latency._row("tvm_book/int8", "avx2").options == {"isa": "avx2"}
    assert latency._row("tvm_book/int8/portable", "avx2").options == {"isa": "portable"}
    assert latency._row("openvino/int8", "avx2") == CONTESTANTS["openvino/int8"]


@pytest.mark.parametrize(
    ("network", "batch", "size", "shape", "dtype"),
    [
        ("resnet18", 1, None, (1, 3, 224, 224), "float32"),
        ("resnet18", 2, 64, (2, 3, 64, 64), "float32"),
        ("bert_mini", 8, None, (8, 128), "int64"),
    ],
)
def test_inputs_have_the_shape_of_the_job(network, batch, size, shape, dtype):
    data = networks.inputs({"network": network, "batch": batch, "size": size}, 2)
    assert [(one.shape, str(one.dtype)) for one in data] == 2 * [(shape, dtype)]
    assert not np.array_equal(*data)


def test_the_program_on_a_small_network(tmp_path, monkeypatch, capsys):
    """Ours runs, one fails, one is absent; a second run goes on where this one ended."""
    table = {
        "gone/x": Racer("race.torch_", needs=("no_such_peer",)),
        "broken/x": Racer("race.no_such_module"),
        "elsewhere/x": Racer("race.torch_", networks="vit_tiny"),
        "tvm_book/int8": CONTESTANTS["tvm_book/int8"],
    }
    monkeypatch.setattr(latency, "CONTESTANTS", table)
    argv = ["--networks", "small/resnet18", "--rounds", "2", "--calls", "1", "--threads", "1"]
    argv += ["--output", str(tmp_path)]
    latency.main(argv)
    result = json.loads((tmp_path / "latency.json").read_text())
    records = {record["contestant"]: record for record in result["results"]}
    assert list(records) == ["gone/x", "broken/x", "tvm_book/int8"]
    assert records["gone/x"]["status"] == "not installed"
    assert records["broken/x"]["status"] == "failed"
    ours = records["tvm_book/int8"]
    assert ours["samples"] == 2
    assert ours["min_ms"] <= ours["median_ms"] <= ours["q3_ms"]
    assert ours["isa"] in result["machine"]["levels"]
    assert ours["compile_s"] > 0
    assert ours["sqnr_db"] > 15  # as in test_peers.py
    assert result["machine"]["threads"] == 1
    assert (tmp_path / "latency.png").stat().st_size > 0
    printed = capsys.readouterr()
    assert "pip install .[bench]" in printed.out
    assert "tvm_book/int8" in printed.out

    monkeypatch.setattr(latency, "compete", None)  # would fail if it were called
    latency.main([*argv, "--resume"])
    assert json.loads((tmp_path / "latency.json").read_text())["results"] == result["results"]
    with pytest.raises(TypeError):  # other conditions: nothing is kept
        latency.main([*argv, "--resume", "--isa", "portable"])


def test_results_are_kept_one_heat_after_the_other(tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "compete", lambda _, job, names: [
        {**job, "contestant": name, "status": "failed", "note": ""} for name in names
    ])  # fmt: skip
    options = latency.arguments(["--networks", "resnet18", "vit_tiny", "--batch", "1", "8"])
    result = latency.document(options, tmp_path / "none.json")
    path = tmp_path / "latency.json"
    latency.run(options, result, path)
    heats = [(record["network"], record["batch"]) for record in result["results"]]
    assert list(dict.fromkeys(heats)) == [
        ("resnet18", 1),
        ("resnet18", 8),
        ("vit_tiny", 1),
        ("vit_tiny", 8),
    ]
    assert ("vit_tiny", "tvm_book/int8/portable") not in {
        (record["network"], record["contestant"]) for record in result["results"]
    }
    assert json.loads(path.read_text())["results"] == result["results"]
    options.scaling = True
    latency.run(options, result, path)
    assert {record["contestant"] for record in result["scaling"]} == {
        "tvm_book/float32",
        "tvm_book/int8",
    }
    assert {(r["batch"], r["size"]) for r in result["scaling"]} == {
        *latency.SIZES,
        *latency.BATCHES,
    }
