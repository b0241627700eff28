"""Presets: what the options of a `QConfig` are when they are not given, as data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["AFFINE_ONLY", "PRESETS", "RELAY_ONLY"]

# Names, meanings and values of ``tvm.relay.quantize.QConfig``; further options keep its arithmetic.
_RELAY = {
    "scheme": "relay",
    "nbit_input": 8,
    "nbit_weight": 8,
    "nbit_activation": 32,
    "dtype_input": "int8",
    "dtype_weight": "int8",
    "dtype_activation": "int32",
    "calibrate_mode": "global_scale",
    "calibrate_layers": (),
    "global_scale": 8.0,
    "percentile": 99.999,
    "weight_scale": "power2",
    "weight_granularity": "tensor",
    "weight_rounding": "nearest",
    "symmetric_input": True,
    "requantize": "fixed_point",
    "bias_correction": False,
    "equalize": False,
    "skip": (),
    "skip_dense_layer": True,
    "skip_conv_layers": (0,),
    "do_simulation": False,
    "round_for_shift": True,
    "debug_enabled_ops": None,
    "rounding": "UPWARD",
    "calibrate_chunk_by": -1,
    "partition_conversions": "disabled",
    "rules": (),
}

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "relay": _RELAY,
        "accurate": _RELAY
        | {
            "scheme": "affine",
            "calibrate_mode": "mse",
            "weight_scale": "mse",
            "weight_granularity": "channel",
            "weight_rounding": "compensated",
            "symmetric_input": False,
            "bias_correction": True,
            "skip_dense_layer": False,
            "skip_conv_layers": (),
        },
    }
)

# Options that only one scheme reads; with the other one they have to stay as they are in _RELAY.
AFFINE_ONLY = (
    "weight_granularity",
    "weight_rounding",
    "symmetric_input",
    "requantize",
    "bias_correction",
    "equalize",
)
RELAY_ONLY = ("dtype_activation", "nbit_activation", "round_for_shift", "rounding")
