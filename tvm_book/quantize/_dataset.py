"""Check calibration data against a function's inputs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from tvm import relax

__all__ = ["check_dataset"]


def check_dataset(
    dataset: Iterable[Mapping[str, Any]] | None, params: list[relax.Var], mode: str
) -> list[dict[str, np.ndarray]]:
    """Return the batches as NumPy arrays, or say what is wrong with them.

    Parameters
    ----------
    dataset : iterable of mappings from input name to array
        NumPy, torch or TVM arrays.
    params : list of tvm.relax.Var
        Inputs of ``main``.
    mode : str
        The ``calibrate_mode`` that asks.

    Returns
    -------
    list of dict

    Raises
    ------
    ValueError, TypeError
        If there is no data, or a batch has a wrong name, shape, dtype, or a NaN or infinity.
    """
    if dataset is None:
        raise ValueError(
            f"calibrate_mode={mode!r} needs calibration data: pass dataset=[{{name: array}}, ...], "
            "or use calibrate_mode='global_scale'"
        )
    if isinstance(dataset, Mapping) or not isinstance(dataset, Iterable):
        raise TypeError(
            f"dataset is a {type(dataset).__name__}; give a list of batches, each "
            f"{_example(params)}"
        )
    batches = [_check_batch(batch, number, params) for number, batch in enumerate(dataset)]
    if not batches:
        raise ValueError("dataset has no batch; give at least one")
    return batches


def _example(params: list[relax.Var]) -> str:
    return f"a dict such as {{{params[0].name if params else 'data'!r}: array}}"


def _check_batch(batch: Any, number: int, params: list[relax.Var]) -> dict[str, np.ndarray]:
    if not isinstance(batch, Mapping):
        raise TypeError(
            f"batch {number} of dataset is a {type(batch).__name__}; give {_example(params)}"
        )
    names = [param.name for param in params]
    for name in batch:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"inputs are {', '.join(names)}"
            raise ValueError(f"batch {number} of dataset has an input {name!r}; {hint}")
    missing = [name for name in names if name not in batch]
    if missing:
        raise ValueError(f"batch {number} of dataset lacks the input {missing[0]!r}")
    return {param.name: _check_array(batch[param.name], number, param) for param in params}


def _check_array(value: Any, number: int, param: relax.Var) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach()
    array = value.numpy() if hasattr(value, "numpy") else np.asarray(value)
    shape, dtype = tuple(int(extent) for extent in param.ty.shape), str(param.ty.dtype)
    where = f"batch {number} of dataset, input {param.name!r}:"
    if array.shape != shape:
        raise ValueError(f"{where} shape is {array.shape}; the model takes {shape}")
    if str(array.dtype) != dtype:
        raise TypeError(f"{where} dtype is {array.dtype}; convert it: array.astype({dtype!r})")
    if array.size == 0:
        raise ValueError(f"{where} has no element")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{where} has a NaN or infinity; remove such samples")
    return np.ascontiguousarray(array)
