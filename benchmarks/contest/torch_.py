"""Torch in float32, which all others are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn


def convert(model: nn.Module, sample: np.ndarray) -> nn.Module:
    """Return the model: it is in torch already."""
    return model


def quantize(model: nn.Module, batches: list[np.ndarray], options: dict[str, Any]) -> nn.Module:
    """Return the model as it is."""
    return model


def predictor(model: nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from float32 (N, 1, 8, 8) to scores (N, 10)."""

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.from_numpy(images)).numpy()

    return predict
