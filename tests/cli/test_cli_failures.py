"""quantize: what fails, or is interrupted, leaves nothing behind."""

import os
import sys

import numpy as np
import pytest
from tvm.support import cc

from tests.cli.commands import CALIBRATION, command, names, process, samples
from tvm_book.cli import _quantizing

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
