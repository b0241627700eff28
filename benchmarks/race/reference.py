"""What every contestant is fed, and what torch makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from race import networks


def prepare(job: dict[str, Any], source: Path | None, folder: Path) -> dict[str, Any]:
    """Write ``input.npy``, and ``output.npy``, the first output of the float network."""
    (data,) = networks.inputs(job)
    with torch.inference_mode():
        output = networks.model(job)(torch.from_numpy(data))
    np.save(folder / "input.npy", data)
    np.save(folder / "output.npy", (output[0] if isinstance(output, tuple) else output).numpy())
    return {}
