"""The process of one contestant: read a job, quantize, time it, and write down what came out.

``python -m contest.worker FOLDER`` reads ``FOLDER/job.json`` and writes ``FOLDER/result.json`` and
``FOLDER/logits.npy``.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from contest.machine import limit_threads

__all__ = ["BATCH", "main"]

BATCH = 100  # images in a call; models are converted for this many


def main(folder: Path) -> None:
    """Do the job in `folder`.

    Raises
    ------
    Exception
        Whatever the contestant raises; the process ends with it on stderr.
    """
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    limit_threads(job["threads"])  # before a framework is imported that counts processors

    import numpy as np
    import torch

    from contest import networks

    torch.set_num_threads(job["threads"])
    module = importlib.import_module(job["module"])
    model = networks.load(job["network"], job["weights"])
    with np.load(job["data"]) as data:
        batches, tests = _batches(data["calibration"]), _batches(data["test"])
    _warm_up(module, job["options"])
    result, quantized = _measure(module, model, batches, job["options"])
    predict = module.predictor(quantized)
    logits = np.concatenate([predict(images) for images in tests])
    np.save(folder / "logits.npy", logits.astype(np.float32))
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


def _measure(module: ModuleType, model: Any, batches: list, options: dict) -> tuple[dict, Any]:
    from contest import memory

    gc.collect()
    memory.forget_peak()
    before = memory.resident_mib()
    start, cpu = time.perf_counter(), time.process_time()
    converted = module.convert(model, batches[0])
    between = time.perf_counter()
    quantized = module.quantize(converted, batches, options)
    end = time.perf_counter()
    result = {
        "convert_s": between - start,
        "quantize_s": end - between,
        "seconds": end - start,
        "cpu_s": time.process_time() - cpu,
        "rss_before_mib": before,
        "rss_peak_mib": memory.peak_mib(),
    }
    return result, quantized


def _warm_up(module: ModuleType, options: dict) -> None:
    """Quantize a tiny network, for many imports happen only on the first call: they don't count."""
    import numpy as np
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)]
    images = np.random.default_rng(0).uniform(0, 16, (2, 2, 1, 8, 8)).astype(np.float32)
    model = nn.Sequential(*layers).eval()
    module.quantize(module.convert(model, images[0]), list(images), options)


def _batches(images: Any) -> list:
    if len(images) % BATCH:
        raise ValueError(f"{len(images)} images are no whole number of batches of {BATCH}")
    return [images[i : i + BATCH] for i in range(0, len(images), BATCH)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
