"""ONNX Runtime, on its faster path for int8: u8 activations, s8 weights per channel, QDQ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from contest import onnxruntime_ as quantizer

from race import networks

FILE = "model.onnx"
OPTIONS = {"activation": "QUInt8", "method": "MinMax"}


def prepare(job: dict[str, Any], source: Path | None, folder: Path) -> dict[str, Any]:
    """Export to ONNX, and quantize if that is asked for."""
    batches = networks.inputs(job, 2)
    model = quantizer.convert(networks.model(job), batches[0])
    if job["options"].get("int8"):
        model = quantizer.quantize(model, batches, OPTIONS)
    onnx.save(model, folder / FILE)
    return {}


def load(job: dict[str, Any], folder: Path) -> Callable[[Any], Any]:
    """Return a function from a NumPy array to a list of NumPy arrays."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = job["threads"]
    session = onnxruntime.InferenceSession(
        folder / FILE, settings, providers=["CPUExecutionProvider"]
    )
    return lambda data: session.run(None, {"data": data})
