import json
import os
import stat
import sys

import numpy as np
import pytest
from tvm.support import cc

import tvm_book
from tests.cli.commands import CALIBRATION, call, command, process, samples
from tvm_book.cli import _quantizing
from tvm_book.cli._folder import new_folder
from tvm_book.frontend import from_onnx
from tvm_book.quantize import Recipe, qconfig, quantize
from tvm_book.testing.metric import cosine_similarity, max_abs_error, sqnr_db

FILES = ["model.so", "recipe.safetensors", "report.json"]


def batches(count=6):
    return [{"data": samples(count)[i : i + 1]} for i in range(count)]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


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


def test_the_folder_has_the_permissions_of_any_other(shop, tmp_path):
    (tmp_path / "other").mkdir()
    assert stat.S_IMODE((shop / "out").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "other").stat().st_mode
    )


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


FAILURES = {
    "no model": (["gone.onnx", *CALIBRATION], "error: there is no file gone.onnx"),
    "no data": (["net.onnx", "--calibration", "gone.npz"], "error: there is no file gone.npz"),
    "other data": (["net.onnx", "--calibration", "torch.npz"], "lacks the input data"),
    "other layer": (["net.onnx", *CALIBRATION, "--skip", "stm"], "did you mean 'stem'"),
    "no such level": (["net.onnx", *CALIBRATION, "--isa", "mmx"], "isa='mmx' is unknown"),
    "fixed batch": (["net.onnx", *CALIBRATION, "--batch-size", "2"], "has fixed shapes"),
    "odd batch": (["any.onnx", *CALIBRATION, "--batch-size", "4"], "do not fill batches of 4"),
    "recipe of another": (["any.pt2", "--recipe", "out"], "error: "),
    "recipe in no file": (["net.onnx", "--recipe", "data.npz"], "is none of .onnx"),
    "a result": (["out", *CALIBRATION], "out is no float model"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_fails_leaves_nothing(name, invoke, tmp_path):
    args, message = FAILURES[name]
    result = invoke("quantize", *args, "-o", tmp_path / "o")  # the last -o counts
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_data_is_asked_for(invoke, tmp_path):
    result = invoke("quantize", "net.onnx", "-o", tmp_path / "o")
    assert result.exit_code == 2
    assert "calibrate_mode='mse' looks at data: give --calibration" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_failure_at_the_end_leaves_nothing(invoke, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyError("lost")

    monkeypatch.setattr(_quantizing, "_check", fail)
    result = invoke("quantize", "net.onnx", *CALIBRATION, "-o", tmp_path / "o", "--no-compile")
    assert result.exit_code == 1
    assert result.stderr == "error: unexpected KeyError: 'lost'; --debug shows where\n"
    assert not list(tmp_path.iterdir())
    result = invoke("quantize", "net.onnx", *CALIBRATION, "-o", tmp_path / "o", "--debug")
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.endswith("error: unexpected KeyError: 'lost'; --debug shows where\n")


def test_there_is_not_enough_memory(invoke, tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(_quantizing, "_check", fail)
    result = invoke("quantize", "net.onnx", *CALIBRATION, "-o", tmp_path / "o", "--no-compile")
    assert (result.exit_code, result.stderr) == (1, "error: there is not enough memory\n")


def fill_disk_for_recipe(tmp_path):
    """Let no file grow beyond one byte: as for root, what is forbidden is not."""
    import resource

    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))}


def fill_disk_for_kernels(tmp_path):
    """Let the recipe, which is written first, be the largest file."""
    import resource

    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))}


def fill_disk_for_library(tmp_path):
    """Let the linker's files not grow."""
    compiler = tmp_path / "compiler"
    compiler.write_text(f'#!/bin/sh\nulimit -f 8\nexec {cc.get_cc()} "$@"\n')
    compiler.chmod(0o755)
    return {"env": os.environ | {"CXX": str(compiler)}}


@pytest.mark.skipif(sys.platform == "win32", reason="limits are of POSIX")
@pytest.mark.parametrize(
    "fill_disk", [fill_disk_for_recipe, fill_disk_for_kernels, fill_disk_for_library]
)
def test_a_full_disk_leaves_nothing(fill_disk, shop, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    done = process(
        *("quantize", "net.onnx", "--recipe", "out", "-o", work / "o"),
        folder=shop,
        **fill_disk(tmp_path),
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(work.iterdir())


def quick(shop, out, *options):
    """The quickest run that writes something."""
    return call(
        *("quantize", "net.onnx", "--recipe", "out", "--no-compile", "-o", out, *options),
        folder=shop,
    )


def test_results_are_replaced_only_by_force(shop, tmp_path):
    out = tmp_path / "o"
    out.mkdir()
    assert quick(shop, out).exit_code == 0  # an empty folder may be filled
    (out / "model.so").write_text("of an earlier run")
    result = quick(shop, out)
    assert result.exit_code == 1
    assert f"{out} has files: pass --force to replace them" in result.stderr
    assert (out / "model.so").read_text() == "of an earlier run"
    assert quick(shop, out, "--force").exit_code == 0
    assert names(out) == FILES[1:]  # what belongs to another run is gone
    assert names(tmp_path) == ["o"]


def test_files_of_others_are_never_replaced(shop, tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    result = quick(shop, tmp_path, "--force")
    assert result.exit_code == 1
    assert "has files that tvm-book did not write (thesis.tex)" in result.stderr
    assert (tmp_path / "thesis.tex").read_text() == "dear"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("file", "file is a file: give the name of a new folder"),
        ("file/out", "file is a file, not a folder"),
        ("file/in/out", "there is no folder"),
        ("missing/out", "missing: create it first"),
        (".", "itself cannot be replaced: name a folder in it"),
    ],
)
def test_places_where_no_folder_can_be_are_told(place, message, shop, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    out = tmp_path / place if place != "." else shop
    result = quick(shop, out, "--force")
    assert result.exit_code == 1
    assert message in result.stderr
    assert names(tmp_path) == ["file"]


def test_a_link_to_a_folder_stays_one(shop, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert quick(shop, tmp_path / "link").exit_code == 0
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == FILES[1:]


def test_results_that_cannot_be_replaced_come_back(tmp_path, monkeypatch):
    out = tmp_path / "o"
    out.mkdir()
    (out / "model.so").write_text("old")
    rename = os.rename

    def fail(source, target):
        if source.name == "o" and target == out and source.parent.name.startswith("."):
            if not (source / "model.so").exists():
                raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="No space"), new_folder(out, force=True) as fresh:
        (fresh / "report.json").write_text("new")
    assert (out / "model.so").read_text() == "old"
    assert names(tmp_path) == ["o"]


def test_what_appears_meanwhile_is_kept(tmp_path):
    out = tmp_path / "o"
    with pytest.raises(FileExistsError, match="pass --force"), new_folder(out, force=False):
        out.mkdir()
        (out / "model.so").write_text("of somebody else")
    assert (out / "model.so").read_text() == "of somebody else"
    assert names(tmp_path) == ["o"]


@pytest.mark.skipif(sys.platform == "win32", reason="terminals are of POSIX")
@pytest.mark.parametrize(("signal", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupt_in_calibration_leaves_nothing(signal, code, shop, tmp_path):
    """On a terminal, which shows when calibration has begun."""
    import pty
    import signal as signals
    import subprocess
    import time

    np.savez(tmp_path / "data.npz", data=samples(20_000))  # more than can be done in the time
    work = tmp_path / "work"
    work.mkdir()
    main_end, other_end = pty.openpty()
    args = ("quantize", "net.onnx", "--calibration", tmp_path / "data.npz", "-o", work / "o")
    run = subprocess.Popen(command(*args), cwd=shop, stderr=other_end, stdout=subprocess.PIPE)
    os.close(other_end)
    shown = b""
    while b"quantizing ..." not in shown:
        shown += os.read(main_end, 1000)
    time.sleep(0.3)
    assert len(names(work)) == 1  # where it writes
    for _ in range(2):  # who is impatient does not disturb
        run.send_signal(getattr(signals, signal))
        time.sleep(0.05)
    try:
        while part := os.read(main_end, 1000):
            shown += part
    except OSError:  # the other end is closed
        pass
    assert run.wait(timeout=60) == code
    assert run.stdout.read() == b""
    assert shown.endswith(b"interrupted\r\n")
    assert b"Traceback" not in shown
    assert names(work) == []
    run.stdout.close()
    os.close(main_end)
