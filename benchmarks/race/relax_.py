"""What this library and TVM compile: a Relax module, float or quantized."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import tvm

from race import networks
from tvm_book import backend
from tvm_book import quantize as quantization
from tvm_book.frontend import from_pytorch

FILE = "module.json"
BATCHES = 2


def prepare(job: dict[str, Any], source: Path | None, folder: Path) -> dict[str, Any]:
    """Import from torch, quantize if there are options for it, and write the module."""
    batches = networks.inputs(job, BATCHES)
    mod, params = from_pytorch(networks.model(job), [("data", described(batches[0]))])
    start = time.perf_counter()
    if "qconfig" in job["options"]:
        config = quantization.qconfig(**job["options"]["qconfig"])
        dataset = [{"data": batch} for batch in batches]
        with tvm.transform.PassContext(opt_level=3):
            mod = quantization.quantize(mod, params, dataset, config)
    else:
        mod = backend.bind_params(mod, params)
    seconds = time.perf_counter() - start
    (folder / FILE).write_text(tvm.ir.save_json(mod), encoding="utf-8")
    return {"quantize_s": seconds}


def read(folder: Path) -> tvm.IRModule:
    """Return the module."""
    return tvm.ir.load_json((folder / FILE).read_text(encoding="utf-8"))


def described(data: Any) -> tuple[tuple[int, ...], str]:
    """Return shape and dtype of an array, as `from_pytorch` takes them."""
    return data.shape, str(data.dtype)
