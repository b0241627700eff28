import json

import numpy as np
import pytest

from tests.cli.commands import call, samples
from tvm_book.cli._measure import differences, rows


def test_a_model_agrees_with_itself(invoke):
    """In another file, with another batch axis."""
    args = ("compare", "net.onnx", "any.onnx", "--data", "data.npz", "--isa", "portable")
    result = invoke(*args, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["samples"] == 6
    assert [row["output"] for row in document["outputs"]] == ["output[0]", "output[1]"]
    for row in document["outputs"]:
        assert (row["cosine"], row["sqnr_db"], row["max_abs_error"]) == (1.0, "Infinity", 0.0)
    assert document["passed"] is True


def test_batches_of_different_sizes_are_compared(invoke, shop, tmp_path):
    out = tmp_path / "o"
    args = ("--recipe", "out", "-o", out, "--shape", "data=1,3,8,8")
    assert invoke("quantize", "any.onnx", *args).exit_code == 0
    result = invoke("compare", "out", "any.onnx", "--data", "data.npz", "--batch-size", "3")
    assert result.exit_code == 0, result.output
    assert "any.onnx against out, 6 samples" in result.stdout


def test_thresholds_decide_the_exit_code(invoke):
    args = ("compare", "net.onnx", "out", "--data", "data.npz")
    result = invoke(*args, "--min-cosine", "0.99", "--min-sqnr", "20")
    assert (result.exit_code, result.stderr) == (0, "")
    result = invoke(*args, "--min-cosine", "0.99", "--min-sqnr", "200", "--json")
    assert result.exit_code == 3
    document = json.loads(result.stdout)
    assert document["passed"] is False
    assert document["limits"] == {"cosine": 0.99, "sqnr_db": 200.0}
    lines = result.stderr.splitlines()
    assert [line.split(" is below ")[1] for line in lines] == ["200", "200"]
    assert lines[0].startswith("threshold missed: output[0]: sqnr_db ")


def test_a_nan_misses_every_threshold():
    from tvm_book.cli.compare import _missed

    rows = [{"output": "o", "cosine": float("nan"), "sqnr_db": 50.0}]
    assert len(_missed(rows, {"cosine": -1.0, "sqnr_db": 10.0})) == 1
    assert not _missed(rows, {"cosine": None, "sqnr_db": None})


def test_differences_are_those_of_the_metrics():
    a = {"s": np.float32([[3, 1], [0, 4]]), "n": np.float32([1, 2])}
    b = {"s": np.float32([[3, 1], [4, 0]]), "n": np.float32([1, 2])}
    scores, other = differences(a, b)
    assert scores["cosine"] == pytest.approx(10 / 26)
    assert scores["max_abs_error"] == 4.0
    assert scores["sqnr_db"] == pytest.approx(10 * np.log10(26 / 32))
    assert scores["top1_agreement"] == 0.5
    assert other["top1_agreement"] is None
    assert rows([scores, other])[0] == ("s", "0.384615", "-0.90", "4", "50.00%")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["net.onnx", "gone", "--data", "data.npz"], "there is no file gone"),
        (["net.onnx", "net.pt2", "--data", "data.npz"], "lacks the input input"),
        (["net.onnx", "net.pt2", "--data", "both.npz"], "different outputs: output[0], output[1]"),
        (["net.onnx", "out/recipe.safetensors", "--data", "data.npz"], "a recipe only"),
        (["net.onnx", "out/model.so", "--data", "gone.npz"], "there is no file gone.npz"),
        (["net.onnx", "out", "--data", "data.npz", "--isa", "portable"], "was compiled for"),
    ],
)
def test_what_cannot_be_compared_is_told(args, message, shop, invoke):
    np.savez(shop / "both.npz", data=samples(2), input=samples(2))
    result = invoke("compare", *args)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr.splitlines()[-1]
    assert result.stderr.splitlines()[-1].startswith("error: ")


BAD = {
    "empty.onnx": ("net.onnx", 0, "is no ONNX model"),
    "cut.onnx": ("net.onnx", 0.5, "is no ONNX file, or it is cut off"),
    "text.onnx": ("data.npz", 1, "is no ONNX file"),
    "empty.pt2": ("net.pt2", 0, "is no file of torch.export.save"),
    "cut.pt2": ("net.pt2", 0.5, "is no file of torch.export.save, or it is cut short"),
    "data.pt2": ("data.npz", 1, "is no file of torch.export.save"),
    "empty.so": ("out/model.so", 0, "it is cut short"),
    "cut.so": ("out/model.so", 0.5, "it is cut short"),
    "model.pth": ("net.pt2", 1, "is none of .onnx, .pt2, .so, .safetensors: save it with torch"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("command", ["compare", "info", "bench"])
def test_bad_files_are_told_in_one_line(command, name, shop, tmp_path):
    source, part, message = BAD[name]
    content = (shop / source).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * part)])
    args = [tmp_path / name]
    if command == "compare":
        args = [tmp_path / name, "out", "--data", "data.npz"]
    result = call(command, *args, folder=shop)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_bad_file_is_told_even_if_a_shape_is_given(shop, tmp_path):
    path = tmp_path / "cut.onnx"
    path.write_bytes((shop / "net.onnx").read_bytes()[:500])
    result = call("info", path, "--shape", "data=1,3,8,8")
    assert result.exit_code == 1
    assert "is no ONNX file, or it is cut off" in result.stderr


@pytest.mark.parametrize("part", [0, 0.1, 0.9])
def test_bad_recipes_are_told_in_one_line(part, shop, tmp_path):
    content = (shop / "out" / "recipe.safetensors").read_bytes()
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content[: int(len(content) * part)])
    for args in (
        ["info", path],
        ["report", "net.onnx", path, "--data", "data.npz"],
        ["quantize", "net.onnx", "--recipe", path, "-o", tmp_path / "o"],
    ):
        result = call(*args, folder=shop)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"error: {path}")
        assert len(result.stderr.splitlines()) == 1
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_folders_of_others_are_told(tmp_path):
    (tmp_path / "a.onnx").mkdir()
    for place in (tmp_path, tmp_path / "a.onnx"):
        result = call("info", place)
        assert result.exit_code == 1
        assert "is a folder without model.so or recipe.safetensors" in result.stderr
