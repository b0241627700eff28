import ast
import fnmatch
import importlib.util
import json
import re
from pathlib import Path

import accuracy
import numpy as np
import pytest
import race.table
import torch
from contest import networks
from contest.table import CONTESTANTS, FLOAT, Contestant, missing, select

from tvm_book.testing import digits

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", CONTESTANTS)
def test_every_row_of_the_table_can_be_run(name):
    contestant = CONTESTANTS[name]
    assert importlib.util.find_spec(contestant.module)
    assert json.loads(json.dumps(contestant.options)) == dict(contestant.options)
    assert fnmatch.filter(digits.NETWORKS, contestant.networks)


@pytest.mark.parametrize("name", [name for name in CONTESTANTS if name.startswith("tvm_book")])
def test_our_options_are_options(name):
    from tvm_book import quantize

    quantize.qconfig(**CONTESTANTS[name].options)


def test_only_peers_need_further_packages():
    own = {name for name, contestant in CONTESTANTS.items() if not contestant.needs}
    assert {name.split("/")[0] for name in own} == {"torch", "tvm_book"}
    assert missing(Contestant("", needs=("json", "no_such_peer"))) == ["no_such_peer"]


def test_select_keeps_the_order_of_the_table():
    assert select(["b*", "a1"], {"a1": 0, "b2": 0, "a2": 0, "b1": 0}) == ["a1", "b2", "b1"]
    with pytest.raises(ValueError, match="nothing is called 'c'; there are: a1; b2"):
        select(["a1", "c"], {"a1": 0, "b2": 0})


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--networks", "lenet"], "nothing is called 'lenet'; there are: resnet"),
        (["--contestants", "tflite/*"], "nothing is called 'tflite/.'"),
        (["--repeat", "0"], "have to be positive"),
    ],
)
def test_wrong_arguments_are_told(argv, message, capsys):
    with pytest.raises(SystemExit):
        accuracy.arguments(argv)
    assert re.search(message, capsys.readouterr().err)


def test_one_failure_stops_nobody(tmp_path, monkeypatch, capsys):
    """The whole program but for the training: a record each, tables, JSON and a figure."""
    torch.manual_seed(0)
    weights = tmp_path / "weights.pt"
    torch.save(digits.NETWORKS["resnet"].make().state_dict(), weights)
    images = np.random.default_rng(0).integers(0, 17, (300, 8, 8))
    parts = digits.split(images, np.arange(300) % 10, held_back=100, calibration=100)
    monkeypatch.setattr(networks, "data", lambda: parts)
    monkeypatch.setattr(networks, "trained", lambda *_: weights)
    table = {
        "gone/x": Contestant("contest.torch_", needs=("no_such_peer",)),
        "broken/x": Contestant("contest.no_such_module"),
        "vit/x": Contestant("contest.torch_", networks="vit"),
        FLOAT: CONTESTANTS[FLOAT],
    }
    monkeypatch.setattr(accuracy, "CONTESTANTS", table)
    accuracy.main(["--networks", "resnet", "--output", str(tmp_path / "out")])
    result = json.loads((tmp_path / "out" / "accuracy.json").read_text())
    assert list(result) == ["schema", "date", "machine", "versions", "results", "targets"]
    assert result["versions"]["torch"] == torch.__version__
    records = {record["contestant"]: record for record in result["results"]}
    assert list(records) == ["gone/x", "broken/x", FLOAT]  # vit/x is for another network
    assert records["gone/x"]["status"] == "not installed"
    assert records["broken/x"]["status"] == "failed"
    assert "no_such_module" in records["broken/x"]["note"]
    assert records[FLOAT]["status"] == "ok"
    assert records[FLOAT]["sqnr_db"] is None  # infinite
    assert records[FLOAT]["agreement"] == 100
    assert result["targets"] == []
    assert (tmp_path / "out" / "accuracy.png").stat().st_size > 0
    printed = capsys.readouterr()
    assert "pip install .[bench]" in printed.out
    assert "resnet  torch/float32: exact" in printed.err


def test_only_its_own_contestant_imports_a_peer():
    """Each process holds one framework, and the program runs where none is installed."""
    rows = [*CONTESTANTS.values(), *race.table.CONTESTANTS.values()]
    needs = {row.module: set(row.needs) for row in rows}
    peers = set.union(*needs.values())
    for path in (ROOT / "benchmarks").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {alias.name for node in nodes for alias in node.names}
        names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        imported = {name.split(".")[0] for name in names} & peers
        assert imported <= needs.get(f"{path.parent.name}.{path.stem}", set())
