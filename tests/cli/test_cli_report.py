import json

import pytest

from tests.cli.commands import call, samples
from tvm_book.frontend import from_onnx
from tvm_book.quantize import Recipe
from tvm_book.report import layerwise

ARGS = ("report", "net.onnx", "out", "--data", "data.npz")


@pytest.fixture(scope="module")
def expected(shop):
    mod, params = from_onnx(shop / "net.onnx")
    recipe = Recipe.load(shop / "out" / "recipe.safetensors")
    batches = [{"data": samples(6)[i : i + 1]} for i in range(6)]
    return layerwise(mod, data=batches, params=params, recipe=recipe)


@pytest.mark.parametrize("place", ["out", "out/model.so", "out/recipe.safetensors"])
def test_json_is_the_report_of_the_library(place, shop, expected):
    result = call("report", "net.onnx", place, "--data", "data.npz", "--json", folder=shop)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == expected.to_dict()


def test_the_text_has_the_table_and_the_explanation(invoke, expected):
    result = invoke(*ARGS)
    assert (result.exit_code, result.stderr) == (0, "")
    said = expected.explain()
    assert result.stdout.endswith(f"\n\n{said.to_text(summary=False)}\n")
    assert " ".join(result.stdout.split()).count(said.summary) == 1  # it wraps with the table
    for row in expected.rows():
        assert row["layer"] in result.stdout


def test_dynamic_models_get_the_shape_of_the_recipe(invoke, tmp_path):
    out = tmp_path / "o"
    args = ("--calibration", "data.npz", "-o", out, "--batch-size", "3", "--no-compile")
    assert invoke("quantize", "any.onnx", *args).exit_code == 0
    result = invoke("report", "any.onnx", out, "--data", "data.npz", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["samples"] == 6


def test_a_page_is_written_once(invoke, tmp_path):
    page = tmp_path / "page.html"
    assert invoke(*ARGS, "--html", page).exit_code == 0
    first = page.read_text()
    assert first.startswith("<!DOCTYPE html>")
    page.write_text("mine")
    result = invoke(*ARGS, "--html", page)
    assert result.exit_code == 1
    assert result.stderr == f"error: {page} exists: pass --force to replace it\n"
    assert page.read_text() == "mine"
    assert invoke(*ARGS, "--html", page, "--force").exit_code == 0
    assert page.read_text() == first
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["net.onnx", "net.onnx"], "net.onnx is a float model: give the folder or recipe"),
        (["out", "out"], "out is no float model: give an .onnx or .pt2 file"),
        (["any.pt2", "out"], "this recipe is of a"),
        (["net.onnx", "gone"], "there is no file gone"),
    ],
)
def test_what_does_not_belong_together_is_told(args, message, shop, invoke):
    data = "torch.npz" if args[0] == "any.pt2" else "data.npz"
    result = invoke("report", *args, "--data", data)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
