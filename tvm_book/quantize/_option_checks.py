"""Checks of the options of a `QConfig`: each returns the value in its final form, or raises."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .presets import AFFINE_ONLY, PRESETS, RELAY_ONLY

__all__ = ["CHECKS", "check_scheme", "check_storage"]


def check_storage(kind: str, nbit: int, dtype: str) -> None:
    """Refuse a grid that is wider than the type that stores it."""
    storage = int(dtype.removeprefix("int"))
    if nbit > storage:
        raise ValueError(
            f"nbit_{kind}={nbit} does not fit dtype_{kind}={dtype!r}; widen it "
            f"(dtype_{kind}='int{16 if nbit <= 16 else 32}') or take at most {storage} bits"
        )


def check_scheme(config: Any) -> None:
    """Refuse options that the chosen scheme would ignore."""
    other, foreign = ("relay", RELAY_ONLY) if config.scheme == "affine" else ("affine", AFFINE_ONLY)
    for name in foreign:
        value = getattr(config, name)
        if value != PRESETS["relay"][name]:
            raise ValueError(
                f"{name}={value!r} has no meaning in scheme={config.scheme!r}; leave it out, or "
                f"choose preset={'accurate' if other == 'affine' else 'relay'!r}"
            )
    if config.scheme == "affine":
        for kind in ("input", "weight"):
            nbit, dtype = config.get_nbit_by_kind(kind), config.get_dtype_by_kind(kind)
            if nbit > 8 or dtype != "int8":
                raise ValueError(
                    f"nbit_{kind}={nbit}, dtype_{kind}={dtype!r}: scheme='affine' computes in "
                    "int8; take at most 8 bits"
                )


def _integer(low: int, high: int) -> Callable:
    def check(name, value):
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"{name} is {value!r}; give an integer from {low} to {high}")
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}; give an integer from {low} to {high}")
        return int(value)

    return check


def _choice(*allowed: str) -> Callable:
    def check(name, value):
        if not isinstance(value, str):
            raise TypeError(f"{name} is {value!r}; choose from {', '.join(allowed)}")
        if value not in allowed:
            near = difflib.get_close_matches(value, allowed, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(allowed)}"
            raise ValueError(f"{name} is {value!r}; {hint}")
        return value

    return check


def _signed(name, value):
    if isinstance(value, str) and value.startswith("uint"):
        raise ValueError(
            f"{name} is {value!r}; grids are symmetric around zero and need a signed type: "
            f"{name}={value.removeprefix('u')!r}"
        )
    return _choice("int8", "int16", "int32")(name, value)


def _flag(name, value):
    if not (isinstance(value, (int, np.bool_)) and value in (0, 1)):
        raise TypeError(f"{name} is {value!r}; give True or False")
    return bool(value)


def _positive(name, value):
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}; give a positive number")
    if not 1e-20 <= value <= 1e20:  # else float32 cannot hold the step of a 32-bit grid, or 1/step
        raise ValueError(f"{name} is {value}; give a positive number, from 1e-20 to 1e20")
    return float(value)


def _sequence(name, value, is_item: Callable[[Any], bool], wanted: str) -> tuple:
    items = None if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if items is None or not all(map(is_item, items)):
        raise TypeError(f"{name} is {value!r}; give {wanted}")
    return items


def _names(name, value):
    if value is None:
        return None
    wanted = "a list of operator names such as 'nn.conv2d', or None"
    return _sequence(name, value, lambda item: isinstance(item, str), wanted)


def _indices(name, value):
    if value is None:
        return None
    items = _sequence(
        name,
        value,
        lambda item: hasattr(item, "__index__") and not isinstance(item, bool),
        "a list of convolution numbers, or None",
    )
    if any(item < 0 for item in items):
        raise ValueError(f"{name} is {value!r}; convolutions are numbered from 0")
    return tuple(map(int, items))


def _chunk(name, value):
    if _integer(-1, 2**31)(name, value) == 0:
        raise ValueError(f"{name} is 0; give -1 for all tensors at once, or a positive number")
    return int(value)


def _percent(name, value):
    value = _positive(name, value)
    if not 50 <= value <= 100:
        raise ValueError(f"{name} is {value}; give a share in percent, from 50 to 100")
    return value


def _selectors(name, value):
    value = (value,) if isinstance(value, str) else value
    wanted = "a list of module paths or operators such as 'layer4.*' or 'relax.nn.conv2d@0'"
    return _sequence(name, value, lambda item: isinstance(item, str) and bool(item), wanted)


_MODES = _choice("global_scale", "kl_divergence", "percentile", "minmax", "moving_average", "mse")


def _algorithm(name, value):
    """Accept the name of an algorithm, or a class that is one."""
    parts = ("passes", "needs_count", "update", "merge", "limits")
    if not isinstance(value, type):
        return _MODES(name, value)
    if missing := [part for part in parts if not hasattr(value, part)]:
        raise TypeError(
            f"{name} is the class {value.__name__}, which has no {missing[0]!r}; write one like "
            "tvm_book.quantize.calibrate.Statistic"
        )
    return value


def _layer_modes(name, value):
    """Accept a mapping, or its pairs as they were kept, of which the first of a layer counts."""
    items = value.items() if isinstance(value, Mapping) else value
    wanted = "a mapping from layers to algorithms such as {'layer4.*': 'minmax'}"
    pairs = _sequence(
        name, items, lambda item: isinstance(item, tuple | list) and len(item) == 2, wanted
    )
    _selectors(name, [selector for selector, _ in pairs])
    modes: dict[str, str] = {}
    for selector, mode in pairs:
        modes.setdefault(selector, _MODES(f"{name}[{selector!r}]", mode))
    return tuple(modes.items())


def _rules(name, value):
    def is_rule(item):
        return hasattr(item, "op") and hasattr(item, "realize")

    return _sequence(name, value, is_rule, "a list of tvm_book.quantize.Rule")


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "nbit_input": _integer(2, 32),
    "nbit_weight": _integer(2, 32),
    "nbit_activation": _integer(2, 32),
    "dtype_input": _signed,
    "dtype_weight": _signed,
    "dtype_activation": _choice("int32", "int16", "int64"),
    "calibrate_mode": _algorithm,
    "calibrate_layers": _layer_modes,
    "global_scale": _positive,
    "percentile": _percent,
    "weight_scale": _choice("power2", "max", "mse"),
    "weight_granularity": _choice("tensor", "channel"),
    "weight_rounding": _choice("nearest", "compensated"),
    "symmetric_input": _flag,
    "requantize": _choice("fixed_point", "float"),
    "bias_correction": _flag,
    "equalize": _flag,
    "skip": _selectors,
    "skip_dense_layer": _flag,
    "skip_conv_layers": _indices,
    "do_simulation": _flag,
    "round_for_shift": _flag,
    "debug_enabled_ops": _names,
    "rounding": _choice("UPWARD", "TONEAREST"),
    "calibrate_chunk_by": _chunk,
    "partition_conversions": _choice("disabled", "enabled", "fully_integral"),
    "preset": _choice(*PRESETS),
    "scheme": _choice("relay", "affine"),
    "rules": _rules,
}
