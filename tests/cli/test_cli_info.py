import json
from importlib import metadata

import onnx
import pytest
from onnx import helper

import tvm_book
from tests.cli.commands import call
from tvm_book.backend import isa, resolve_target
from tvm_book.quantize import Recipe


def info(invoke, *args):
    result = invoke("info", *args, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_this_machine(invoke):
    found = info(invoke)
    assert found["tvm_book"] == tvm_book.__version__
    assert found["tvm"] == metadata.version("apache-tvm")
    usable = [level.name for level in isa.available(resolve_target("llvm"))]
    assert found["best_isa"] == usable[0]
    assert [row["isa"] for row in found["levels"] if row["available"]] == usable
    assert [row["isa"] for row in found["levels"]] == list(isa.LEVELS)
    assert all(row["available"] or row["why"] for row in found["levels"])


@pytest.mark.parametrize("name", ["net.onnx", "any.onnx", "net.pt2", "any.pt2"])
def test_a_float_model(name, invoke):
    found = info(invoke, name)
    onnx_file = name.endswith(".onnx")
    assert found["kind"] == ("ONNX model" if onnx_file else "exported PyTorch program")
    assert found["inputs"] == [f"{'data' if onnx_file else 'input'}: float32 (1, 3, 8, 8)"]
    assert found["parameters"] == (16 * 27 + 8 * 144 + 40 if onnx_file else 4 * 27 + 4)
    assert found["operators"][0] == {
        "op": "relax.nn.conv2d",
        "all": 2 if onnx_file else 1,
        "int8": 2 if onnx_file else 1,
        "why": "",
    }
    assert found["already_quantized"] is False


def test_a_preset_decides_what_becomes_int8(invoke):
    """Relay leaves the first convolution in float, and dense layers."""
    found = {row["op"]: row for row in info(invoke, "net.onnx", "--preset", "relay")["operators"]}
    assert (found["relax.nn.conv2d"]["all"], found["relax.nn.conv2d"]["int8"]) == (2, 1)
    assert found["relax.matmul"]["int8"] == 0
    assert "an option leaves it out" in found["relax.matmul"]["why"]


def test_operators_without_a_rule_are_named(tmp_path):
    tensor = helper.make_tensor_value_info
    nodes = [helper.make_node("Sign", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "g", [tensor("x", 1, [2])], [tensor("y", 1, [2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, tmp_path / "sign.onnx")
    (row,) = json.loads(call("info", tmp_path / "sign.onnx", "--json").stdout)["operators"]
    why = "preset 'accurate' has no rule about it"
    assert row == {"op": "relax.sign", "all": 1, "int8": 0, "why": why}


def test_results(invoke, shop):
    run = tvm_book.load(shop / "out" / "model.so")
    recipe = Recipe.load(shop / "out" / "recipe.safetensors")
    library = info(invoke, "out/model.so")
    assert library["kind"] == "compiled model"
    assert library["isa"] == run.isa
    assert library["kernels_need"] == list(isa.LEVELS[run.isa].needs)
    assert library["runs_here"] is True
    found = info(invoke, "out/recipe.safetensors")
    assert found["kind"] == "recipe"
    assert (found["model_hash"], found["grids"]) == (recipe.model, len(recipe.grids))
    assert found["versions"] == dict(recipe.versions)
    whole = info(invoke, "out")
    assert whole["kind"] == "results of tvm-book quantize"
    assert {**library, **found, "file": "out", "kind": whole["kind"]} == whole


def test_a_library_for_another_cpu_is_described(invoke, monkeypatch):
    """Loading would fail, and with it nobody would know what to compile again."""
    monkeypatch.setattr("tvm_book.backend.cannot_run", lambda *_: "this CPU lacks amx-int8")
    found = info(invoke, "out/model.so")
    assert (found["runs_here"], found["why"]) == (False, "this CPU lacks amx-int8")


def test_text_tells_the_same(invoke):
    lines = dict(
        line.split("  ", 1) for line in invoke("info", "out").stdout.splitlines() if "  " in line
    )
    found = info(invoke, "out")
    assert lines["runs here"].strip() == "yes"
    assert lines["model hash"].strip() == found["model_hash"]
    table = invoke("info", "net.onnx").stdout
    for row in info(invoke, "net.onnx")["operators"]:
        assert row["op"] in table
