"""The library of this repository."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contest import memory

import tvm_book
from race import relax_

FILE = "library.so"


def prepare(job: dict[str, Any], source: Path, folder: Path) -> dict[str, Any]:
    """Compile, and write down how long that took, and how much memory this process held."""
    mod = relax_.read(source)
    gc.collect()
    memory.forget_peak()
    before, start = memory.resident_mib(), time.perf_counter()
    run = tvm_book.compile(mod, isa=job["options"].get("isa"), threads=job["threads"])
    numbers = {
        "isa": run.isa,
        "compile_s": time.perf_counter() - start,
        "compile_before_mib": before,
        "compile_peak_mib": memory.peak_mib(),
    }
    run.save(folder / FILE)
    return numbers


def load(job: dict[str, Any], folder: Path) -> Callable[[Any], Any]:
    """Return the compiled model."""
    return tvm_book.load(folder / FILE, threads=job["threads"])
