"""OpenVINO's NNCF: `nncf.quantize` on the OpenVINO model, run by OpenVINO's CPU plugin."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

sys.modules["openvino_telemetry"] = None  # without it OpenVINO reports no usage, and takes no time
import nncf  # noqa: E402
import openvino  # noqa: E402
from nncf.quantization import advanced_parameters as advanced  # noqa: E402
from nncf.quantization.range_estimator import RangeEstimatorParametersSet  # noqa: E402

nncf.set_log_level(logging.ERROR)


def convert(model: nn.Module, sample: np.ndarray) -> openvino.Model:
    """Import the torch module."""
    shape = list(sample.shape)
    return openvino.convert_model(model, example_input=torch.from_numpy(sample), input=shape)


def quantize(
    model: openvino.Model, batches: list[np.ndarray], options: dict[str, Any]
) -> openvino.Model:
    """Quantize; names among the options stand for NNCF's enumerations."""
    settings = {}
    if "preset" in options:
        settings["preset"] = nncf.QuantizationPreset[options["preset"]]
    if "model_type" in options:
        settings["model_type"] = nncf.ModelType[options["model_type"]]
    return nncf.quantize(
        model,
        nncf.Dataset(batches),
        subset_size=len(batches),
        fast_bias_correction=options.get("fast_bias_correction", True),
        advanced_parameters=_advanced(options),
        **settings,
    )


def _advanced(options: dict[str, Any]) -> advanced.AdvancedQuantizationParameters:
    settings = {}
    if "overflow_fix" in options:
        settings["overflow_fix"] = advanced.OverflowFix[options["overflow_fix"]]
    if "ranges" in options:
        ranges = getattr(RangeEstimatorParametersSet, options["ranges"])
        settings["activations_range_estimator_params"] = ranges
    if not options.get("smooth_quant", True):
        settings["smooth_quant_alphas"] = advanced.AdvancedSmoothQuantParameters(matmul=-1)
    return advanced.AdvancedQuantizationParameters(**settings)


def predictor(model: openvino.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from float32 (N, 1, 8, 8) to scores (N, 10)."""
    # What is not int8 stays float32: some processors would compute it in bfloat16.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    return lambda images: compiled(images)[0].copy()
