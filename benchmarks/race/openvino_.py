"""OpenVINO's CPU plugin; int8 comes from NNCF."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.modules["openvino_telemetry"] = None  # without it OpenVINO reports no usage
import openvino  # noqa: E402

FILE = "model.xml"
TRANSFORMERS = ("vit", "bert")


def prepare(job: dict[str, Any], source: Path | None, folder: Path) -> dict[str, Any]:
    """Convert from torch, and quantize if that is asked for."""
    from contest import nncf_ as quantizer  # only here: it takes seconds to import

    from race import networks

    batches = networks.inputs(job, 2)
    model = quantizer.convert(networks.model(job), batches[0])
    if job["options"].get("int8"):
        transformer = any(name in job["network"] for name in TRANSFORMERS)
        options = {"model_type": "TRANSFORMER"} if transformer else {}
        model = quantizer.quantize(model, batches, options)
    openvino.save_model(model, folder / FILE, compress_to_fp16=False)
    return {}


def load(job: dict[str, Any], folder: Path) -> Callable[[Any], Any]:
    """Return a function from a NumPy array to a mapping from outputs' numbers to arrays."""
    settings = {
        "INFERENCE_NUM_THREADS": job["threads"],
        "INFERENCE_PRECISION_HINT": "f32",  # what is not int8: some processors took bfloat16
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(folder / FILE, "CPU", settings)
    # Arrays are shared, as the others share them.
    return lambda data: compiled(data, share_inputs=True, share_outputs=True)
