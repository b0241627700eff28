"""TVM as it comes: `tvm.compile` for the target ``"llvm"``, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tvm
from tvm import relax

from race import relax_

FILE = "library.so"


def prepare(job: dict[str, Any], source: Path, folder: Path) -> dict[str, Any]:
    """Compile the float module."""
    mod = relax_.read(source)
    start = time.perf_counter()
    executable = tvm.compile(mod, "llvm")
    seconds = time.perf_counter() - start
    executable.export_library(str(folder / FILE))
    return {"compile_s": seconds}


def load(job: dict[str, Any], folder: Path) -> Callable[[Any], Any]:
    """Return a function from a NumPy array to a list of NumPy arrays."""
    main = relax.VirtualMachine(tvm.runtime.load_module(str(folder / FILE)), tvm.cpu())["main"]

    def call(data: Any) -> Any:
        outputs = main(tvm.runtime.tensor(data))
        return [x.numpy() for x in ([outputs] if hasattr(outputs, "numpy") else outputs)]

    return call
