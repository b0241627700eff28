"""quantize: what it writes is what the library makes."""

import json

import numpy as np
import pytest

import tvm_book
from tests.cli.commands import FILES, names, process, samples
from tvm_book.frontend import from_onnx
from tvm_book.quantize import Recipe, qconfig, quantize
from tvm_book.testing.metric import cosine_similarity, max_abs_error, sqnr_db


def batches(count=6):
    return [{"data": samples(count)[i : i + 1]} for i in range(count)]


def test_the_folder_holds_what_the_library_makes(shop):
    """The same bits as with the functions of the library, from a file that stands alone."""
    mod, params = from_onnx(shop / "net.onnx")
    with qconfig(preset="accurate"):
        qmod = quantize(mod, params, batches())
    expected = tvm_book.compile(qmod)
    run = tvm_book.load(shop / "out" / "model.so")
    assert names(shop / "out") == FILES
    assert Recipe.load(shop / "out" / "recipe.safetensors").to_bytes() == run.recipe.to_bytes()
    for batch in batches():
        for mine, wanted in zip(run(**batch), expected(**batch), strict=True):
            np.testing.assert_array_equal(mine, wanted)


def test_the_summary_is_true(shop):
    summary = json.loads((shop / "out" / "report.json").read_text())
    mod, params = from_onnx(shop / "net.onnx")
    # Float models are evaluated with torch, whose sums differ in the last bits from those here.
    reference, run = tvm_book.compile(mod, params=params), tvm_book.load(shop / "out" / "model.so")
    found = {row["output"]: row for row in summary["check"]}
    assert list(found) == ["output[0]", "output[1]"]
    for i, row in enumerate(found.values()):
        a, b = (np.concatenate([f(**x)[i] for x in batches()]) for f in (reference, run))
        assert row["cosine"] == pytest.approx(cosine_similarity(a, b), abs=1e-6)
        assert row["sqnr_db"] == pytest.approx(sqnr_db(a, b), abs=1e-2)
        assert row["max_abs_error"] == pytest.approx(max_abs_error(a, b), abs=1e-5)
        assert row["sqnr_db"] > 25
    scores, maps = found.values()
    assert scores["top1_agreement"] == 1.0
    assert maps["top1_agreement"] is None  # an image is no table of scores
    assert summary["samples"] == 6
    assert summary["inputs"] == ["data: float32 (1, 3, 8, 8)"]
    assert summary["bytes"]["model.so"] == (shop / "out" / "model.so").stat().st_size
    assert summary["layers"] == {"all": 6, "int8": 6}
    assert (summary["preset"], summary["options"]) == ("accurate", {})
    assert summary["isa"] == run.isa


def test_options_reach_the_quantizer(invoke, tmp_path):
    result = invoke(
        *("quantize", "net.onnx", "--calibration", "data.npz", "-o", tmp_path / "o", "--json"),
        *("--calibrate-mode", "minmax", "--skip", "body", "--set", "nbit_weight=6", "--no-compile"),
    )
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    options = {"calibrate_mode": "minmax", "skip": ["body"], "nbit_weight": 6}
    assert {k: summary["options"][k] for k in options} == options
    assert summary["calibrated_by"] == "minmax"
    assert summary["isa"] is None  # nothing was compiled
    assert summary["check"][0]["cosine"] > 0.99
    assert names(tmp_path / "o") == FILES[1:]
    assert summary == json.loads((tmp_path / "o" / "report.json").read_text())


def test_a_recipe_needs_no_data_and_gives_the_same_bits(shop, invoke, tmp_path):
    out = tmp_path / "again"
    result = invoke("quantize", "net.onnx", "--recipe", "out", "-o", out, "--isa", "portable")
    assert result.exit_code == 0, result.output
    assert "not compared with the float model" in result.stdout
    one, other = (tvm_book.load(folder / "model.so") for folder in (shop / "out", out))
    assert other.isa == "portable"
    for batch in batches():
        for a, b in zip(one(**batch), other(**batch), strict=True):
            np.testing.assert_array_equal(a, b)


def test_relay_needs_no_data(invoke, tmp_path):
    result = invoke(
        *("quantize", "any.onnx", "--preset", "relay", "-o", tmp_path / "o", "--no-compile"),
        *("--batch-size", "3"),
    )
    assert result.exit_code == 0, result.output
    recipe = Recipe.load(tmp_path / "o" / "recipe.safetensors")
    assert recipe.config.preset == "relay"
    assert recipe.inputs[0].shape == (3, 3, 8, 8)


@pytest.mark.parametrize("name", ["net.pt2", "any.pt2"])
def test_programs_of_torch_are_taken(name, invoke, tmp_path):
    result = invoke(
        *("quantize", name, "--calibration", "torch.npz", "-o", tmp_path / "o", "--json"),
        *(("--batch-size", "3", "--html") if name == "any.pt2" else ()),
    )
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    batch = 3 if name == "any.pt2" else 1
    assert summary["inputs"] == [f"input: float32 ({batch}, 3, 8, 8)"]
    assert summary["check"][0]["cosine"] > 0.99
    wanted = sorted([*FILES, *["report.html"] * (name == "any.pt2")])
    assert names(tmp_path / "o") == wanted


def test_warnings_are_lines(shop, tmp_path):
    """In a process of its own: here, a warning of the library is an error."""
    done = process(
        *("quantize", "net.onnx", "--preset", "relay", "-o", tmp_path / "o", "--no-compile"),
        *("--set", "skip_conv_layers=[0, 1]"),
        folder=shop,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("warning: nothing was quantized, the module stays in float")
    assert len(done.stderr.splitlines()) == 1
