"""Data: any iterable of batches, checked one by one as they come."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .._tensors import TensorSpec, to_tensor

__all__ = ["Batches", "batch_size", "batches_of", "check_dataset", "joined"]


class Batches:
    """The batches of a dataset as NumPy arrays; none of them is kept.

    Parameters
    ----------
    dataset : iterable of mappings from input name to array
        NumPy, torch or TVM arrays.
    inputs : sequence of TensorSpec
        Of ``main``.
    name : str, optional
        What errors call the dataset.

    Raises
    ------
    ValueError, TypeError
        While iterating: if there is no batch, or one has a wrong name, shape, dtype, or a NaN or
        infinity.

    Examples
    --------
    >>> batches = Batches([{"x": np.ones(2, "float32")}], [TensorSpec("x", (2,), "float32")])
    >>> [batch["x"].tolist() for batch in batches]
    [[1.0, 1.0]]
    """

    def __init__(
        self,
        dataset: Iterable[Mapping[str, Any]],
        inputs: Sequence[TensorSpec],
        name: str = "dataset",
    ):
        self._dataset, self._inputs, self._name = dataset, inputs, name

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        number = -1
        for number, batch in enumerate(self._dataset):
            yield _check_batch(batch, f"batch {number} of {self._name}", self._inputs)
        if number < 0:
            raise ValueError(f"{self._name} has no batch; give at least one")

    def length(self) -> int | None:
        """Return how many batches there are, if the dataset says so."""
        try:
            return len(self._dataset)
        except TypeError:  # no length, or, as torch's loaders of streams, none that is known
            return None

    def count(self) -> int:
        """Return how many batches there are, going through a dataset that does not say so."""
        length = self.length()
        return sum(1 for _ in self._dataset) if length is None else length

    def repeatable(self) -> Batches:
        """Return batches that can be gone through again: those of an iterator become a list."""
        one_shot = isinstance(self._dataset, Iterator)
        return Batches(list(self._dataset), self._inputs, self._name) if one_shot else self


def batch_size(batch: Mapping[str, np.ndarray]) -> int:
    """How many samples a batch holds: the length of the longest of its arrays."""
    return max((len(x) for x in batch.values() if np.ndim(x)), default=1)


def joined(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """Join the results of batches along axis 0; numbers, which have no axis, become a vector."""
    return np.concatenate([np.atleast_1d(output) for output in outputs])


def batches_of(
    dataset: Iterable[Mapping[str, Any]], inputs: Sequence[TensorSpec], name: str = "dataset"
) -> Batches:
    """Return the batches of a dataset, which errors call ``name``.

    Raises
    ------
    TypeError
        If it is no iterable of batches.
    """
    if isinstance(dataset, Batches):
        return dataset
    if isinstance(dataset, Mapping) or not isinstance(dataset, Iterable):
        raise TypeError(
            f"{name} is a {type(dataset).__name__}; give a list of batches, each {_example(inputs)}"
        )
    return Batches(dataset, inputs, name)


def check_dataset(
    dataset: Iterable[Mapping[str, Any]] | None, inputs: Sequence[TensorSpec], mode: str
) -> Batches:
    """Return the batches of a calibration dataset, or say that there are none.

    Parameters
    ----------
    dataset : iterable of mappings from input name to array, optional
    inputs : sequence of TensorSpec
        Of ``main``.
    mode : str
        The ``calibrate_mode`` that asks.

    Returns
    -------
    Batches

    Raises
    ------
    ValueError, TypeError
        If there is no data, or it is no iterable of batches.
    """
    if dataset is None:
        raise ValueError(
            f"calibrate_mode={mode!r} needs calibration data: pass dataset=[{{name: array}}, ...], "
            "or use calibrate_mode='global_scale'"
        )
    return batches_of(dataset, inputs)


def _example(inputs: Sequence[TensorSpec]) -> str:
    return f"a dict such as {{{inputs[0].name if inputs else 'data'!r}: array}}"


def _check_batch(batch: Any, label: str, inputs: Sequence[TensorSpec]) -> dict[str, np.ndarray]:
    if not isinstance(batch, Mapping):
        raise TypeError(f"{label} is a {type(batch).__name__}; give {_example(inputs)}")
    names = [spec.name for spec in inputs]
    for name in batch:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"inputs are {', '.join(names)}"
            raise ValueError(f"{label} has an input {name!r}; {hint}")
    missing = [name for name in names if name not in batch]
    if missing:
        raise ValueError(f"{label} lacks the input {missing[0]!r}")
    return {spec.name: _check_array(batch[spec.name], label, spec) for spec in inputs}


def _check_array(value: Any, label: str, spec: TensorSpec) -> np.ndarray:
    kind = f"{label}, input"
    array = to_tensor(spec, value, kind=kind).numpy()
    if array.size == 0:
        raise ValueError(f"{kind} {spec.name!r} has no element")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{kind} {spec.name!r} has a NaN or infinity; remove such samples")
    return array
