"""The library of this repository: Relax from torch, any preset and calibration mode, run by TVM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from torch import nn

import tvm_book
from tvm_book import quantize as quantization
from tvm_book.frontend import from_pytorch


def convert(model: nn.Module, sample: np.ndarray) -> Any:
    """Return the Relax module and its parameters."""
    return from_pytorch(model, [("data", sample.shape)])


def quantize(converted: Any, batches: list[np.ndarray], options: dict[str, Any]) -> tvm.IRModule:
    """Quantize; `options` are those of `tvm_book.quantize.qconfig`."""
    mod, params = converted
    dataset = [{"data": batch} for batch in batches]
    # Level 3 folds batch norms, which the other frameworks do without being asked.
    with tvm.transform.PassContext(opt_level=3), quantization.qconfig(**options):
        return quantization.quantize(mod, params, dataset=dataset)


def predictor(mod: tvm.IRModule) -> Callable[[np.ndarray], np.ndarray]:
    """Compile, and return a function from float32 (N, 1, 8, 8) to scores (N, 10)."""
    run = tvm_book.compile(mod)
    return lambda images: run(data=images)
