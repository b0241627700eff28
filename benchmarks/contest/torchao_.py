"""torchao's PT2E: the X86 Inductor quantizer; what it converts is evaluated as it stands."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

logging.getLogger("torchao").setLevel(logging.ERROR)
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e  # noqa: E402
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86  # noqa: E402


def convert(model: nn.Module, sample: np.ndarray) -> nn.Module:
    """Export to a graph of ATen operators."""
    return torch.export.export(model, (torch.from_numpy(sample),)).module()


def quantize(model: nn.Module, batches: list[np.ndarray], options: dict[str, Any]) -> nn.Module:
    """Insert observers, calibrate, and put in quantize and dequantize operators."""
    quantizer = x86.X86InductorQuantizer()
    config = x86.get_default_x86_inductor_quantization_config()
    quantizer.set_global(config)
    if options.get("matmul"):
        quantizer.set_function_type_qconfig(torch.matmul, config)
    prepared = prepare_pt2e(model, quantizer)
    with torch.no_grad():
        for batch in batches:
            prepared(torch.from_numpy(batch))
    return convert_pt2e(prepared)


def predictor(model: nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from float32 (N, 1, 8, 8) to scores (N, 10)."""

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.from_numpy(images)).numpy()

    return predict
