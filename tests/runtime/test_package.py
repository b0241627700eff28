"""`import tvm_book`: cheap, and everything within reach."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import tvm_book


def python(code):
    # Where `import tvm_book` finds a clone that is not installed.
    folder = Path(tvm_book.__file__).parents[1]
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)


def test_importing_loads_neither_tvm_nor_torch():
    code = "import sys, tvm_book; print([m for m in ('tvm', 'torch', 'numpy') if m in sys.modules])"
    assert python(code).stdout.strip() == "[]"


def test_rooms_and_names_are_attributes():
    code = (
        "import tvm_book; assert 'compile' in dir(tvm_book) and 'quantize' in dir(tvm_book); "
        "tvm_book.instrument.PrintIR; tvm_book.CompiledModel; tvm_book.runtime.Benchmark"
    )
    assert python(code).stderr == ""
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = tvm_book.nonsense


def test_version():
    try:
        expected = metadata.version("tvm-book")
    except metadata.PackageNotFoundError:
        expected = "0+unknown"
    assert tvm_book.__version__ == expected
