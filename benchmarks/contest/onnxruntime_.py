"""ONNX Runtime: `quantize_static` in its recommended form, QDQ with per-channel int8 weights."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

logging.getLogger("torch.onnx").setLevel(logging.ERROR)


class Batches(quantization.CalibrationDataReader):
    """Calibration data in the form that ONNX Runtime asks for."""

    def __init__(self, batches: list[np.ndarray]):
        self._batches = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch, or None behind the last."""
        batch = next(self._batches, None)
        return None if batch is None else {"data": batch}


def convert(model: nn.Module, sample: np.ndarray) -> onnx.ModelProto:
    """Export to ONNX."""
    arguments = (torch.from_numpy(sample),)
    program = torch.onnx.export(model, arguments, input_names=["data"], dynamo=True, verbose=False)
    return program.model_proto


def quantize(
    model: onnx.ModelProto, batches: list[np.ndarray], options: dict[str, Any]
) -> onnx.ModelProto:
    """Fold batch norms, infer shapes, calibrate and quantize, as its documentation says."""
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, result = (str(Path(folder) / f"{i}.onnx") for i in range(3))
        onnx.save(model, source)
        quant_pre_process(source, prepared)
        quantization.quantize_static(
            prepared,
            result,
            Batches(batches),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType[options["activation"]],
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod[options["method"]],
        )
        return onnx.load(result)


def predictor(model: onnx.ModelProto) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from float32 (N, 1, 8, 8) to scores (N, 10)."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(None, {"data": images})[0]
