"""How long our calibration takes: a process of its own, as `race.prepare` starts it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from contest import memory

from race import networks
from tvm_book import quantize as quantization
from tvm_book.frontend import from_pytorch

BATCH = 10


def prepare(job: dict[str, Any], source: Path | None, folder: Path) -> dict[str, Any]:
    """Calibrate and quantize by the preset ``"accurate"`` as it is; return seconds of each."""
    torch.set_num_threads(job["threads"])
    images = job["options"]["images"]
    job = {**job, "batch": BATCH}
    batches = [{"data": batch} for batch in networks.inputs(job, images // BATCH)]
    mod, params = from_pytorch(networks.model(job), [("data", batches[0]["data"].shape)])
    config = quantization.qconfig(preset="accurate")
    memory.forget_peak()
    start = time.perf_counter()
    statistics = quantization.observe(mod, params, batches, config)
    between = time.perf_counter()
    quantization.quantize(mod, params, batches, config, statistics)
    return {
        "images": images,
        "observe_s": between - start,
        "quantize_s": time.perf_counter() - between,
        "rss_peak_mib": memory.peak_mib(),
    }
