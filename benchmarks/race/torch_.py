"""Torch in float32, eager."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from race import networks


def prepare(job: dict[str, Any], source: Path | None, folder: Path) -> dict[str, Any]:
    """Keep the network with its weights."""
    torch.save(networks.model(job), folder / "model.pt")
    return {}


def load(job: dict[str, Any], folder: Path) -> Callable[[Any], Any]:
    """Return a function from a NumPy array to a NumPy array, or a list of them."""
    torch.set_num_threads(job["threads"])
    model = torch.load(folder / "model.pt", weights_only=False)

    def call(data: Any) -> Any:
        with torch.inference_mode():
            outputs = model(torch.from_numpy(data))
            return [x.numpy() for x in (outputs if isinstance(outputs, tuple) else (outputs,))]

    return call
