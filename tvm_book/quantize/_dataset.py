"""Check calibration data against a function's inputs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .._tensors import TensorSpec, to_tensor

__all__ = ["check_dataset"]


def check_dataset(
    dataset: Iterable[Mapping[str, Any]] | None, inputs: Sequence[TensorSpec], mode: str
) -> list[dict[str, np.ndarray]]:
    """Return the batches as NumPy arrays, or say what is wrong with them.

    Parameters
    ----------
    dataset : iterable of mappings from input name to array
        NumPy, torch or TVM arrays.
    inputs : sequence of TensorSpec
        Of ``main``.
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
            f"{_example(inputs)}"
        )
    batches = [_check_batch(batch, number, inputs) for number, batch in enumerate(dataset)]
    if not batches:
        raise ValueError("dataset has no batch; give at least one")
    return batches


def _example(inputs: Sequence[TensorSpec]) -> str:
    return f"a dict such as {{{inputs[0].name if inputs else 'data'!r}: array}}"


def _check_batch(batch: Any, number: int, inputs: Sequence[TensorSpec]) -> dict[str, np.ndarray]:
    if not isinstance(batch, Mapping):
        raise TypeError(
            f"batch {number} of dataset is a {type(batch).__name__}; give {_example(inputs)}"
        )
    names = [spec.name for spec in inputs]
    for name in batch:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"inputs are {', '.join(names)}"
            raise ValueError(f"batch {number} of dataset has an input {name!r}; {hint}")
    missing = [name for name in names if name not in batch]
    if missing:
        raise ValueError(f"batch {number} of dataset lacks the input {missing[0]!r}")
    return {spec.name: _check_array(batch[spec.name], number, spec) for spec in inputs}


def _check_array(value: Any, number: int, spec: TensorSpec) -> np.ndarray:
    kind = f"batch {number} of dataset, input"
    array = to_tensor(spec, value, kind=kind).numpy()
    if array.size == 0:
        raise ValueError(f"{kind} {spec.name!r} has no element")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{kind} {spec.name!r} has a NaN or infinity; remove such samples")
    return array
