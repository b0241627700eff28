"""Samples, checked against what a model takes, and cut into its batches."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._output import note

if TYPE_CHECKING:
    import numpy as np

    from ..backend import TensorSpec

__all__ = ["count_samples", "cut", "random_batch", "shapes_of"]


def cut(
    files: Mapping[Path, Mapping[str, np.ndarray]], inputs: Sequence[TensorSpec]
) -> list[dict[str, np.ndarray]]:
    """Cut arrays of samples into batches of the sizes that a model takes.

    Parameters
    ----------
    files : mapping from path to mapping from name to array
        What `tvm_book.cli._npz.read_npz` read; their batches follow each other.
    inputs : sequence of TensorSpec
        Each array holds what its input takes in all runs, one after the other along the first axis.

    Returns
    -------
    list of dict
        Views of the arrays.

    Raises
    ------
    ValueError
        An array is missing, has the wrong shape or dtype, no sample, a NaN or infinity, or samples
        that do not fill the last batch.

    Examples
    --------
    >>> import numpy as np
    >>> from tvm_book.backend import TensorSpec
    >>> arrays = {"x": np.arange(6, dtype="float32").reshape(6, 1)}
    >>> [b["x"].shape for b in cut({"a.npz": arrays}, [TensorSpec("x", (2, 1), "float32")])]
    [(2, 1), (2, 1), (2, 1)]
    """
    if not inputs:
        raise ValueError("the model takes no input: there is nothing to run it on")
    batches = []
    for path, arrays in files.items():
        for spec in inputs:
            _check(path, arrays, spec)
        unused = sorted(set(arrays) - {spec.name for spec in inputs})
        if unused:
            note(f"{path}: no input of the model is called {', '.join(unused)}: not used")
        counts = {spec.name: len(arrays[spec.name]) // _first(spec) for spec in inputs}
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise ValueError(f"{path}: the arrays hold different numbers of batches: {found}")
        for i in range(max(counts.values())):
            batches.append({spec.name: _batch(arrays[spec.name], spec, i) for spec in inputs})
    return batches


def count_samples(
    files: Mapping[Path, Mapping[str, np.ndarray]], inputs: Sequence[TensorSpec]
) -> int:
    """Return how many samples of a model's first input the files hold."""
    return sum(len(arrays[inputs[0].name]) for arrays in files.values())


def shapes_of(files: Mapping[Path, Mapping[str, np.ndarray]]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array; of one that several files have, that in the last of them."""
    return {name: array.shape for arrays in files.values() for name, array in arrays.items()}


def random_batch(inputs: Sequence[TensorSpec], seed: int = 0) -> dict[str, np.ndarray]:
    """Return one batch of normal numbers; integers are 0 or 1, which is in range everywhere."""
    import numpy as np

    random = np.random.default_rng(seed)
    return {
        spec.name: (
            random.standard_normal(spec.shape)
            if spec.dtype.startswith("float")
            else random.integers(0, 2, spec.shape)
        ).astype(spec.dtype)
        for spec in inputs
    }


def _first(spec: TensorSpec) -> int:
    return max(spec.shape[0], 1) if spec.shape else 1


def _batch(array: np.ndarray, spec: TensorSpec, number: int) -> np.ndarray:
    if not spec.shape:
        return array[number, ...]
    return array[number * spec.shape[0] : (number + 1) * spec.shape[0]]


def _check(path: Path, arrays: Mapping[str, np.ndarray], spec: TensorSpec) -> None:
    import numpy as np

    rest = spec.shape[1:] if spec.shape else ()
    wanted = f"{spec.dtype} ({', '.join(['samples', *map(str, rest)])})"
    if spec.name not in arrays:
        near = difflib.get_close_matches(spec.name, arrays, n=1)
        holds = ", ".join(f"{name}: {a.dtype} {a.shape}" for name, a in arrays.items())
        hint = f"; rename {near[0]!r}" if near else ""
        raise ValueError(f"{path} lacks the input {spec.name}: {wanted}; it holds {holds}{hint}")
    array = arrays[spec.name]
    found = f"{array.dtype} {array.shape}"
    if array.ndim == 0 or array.shape[1:] != rest:
        raise ValueError(f"{path}: {spec.name!r} must be {wanted}, not {found}")
    if array.dtype.name != spec.dtype:
        raise ValueError(
            f"{path}: {spec.name!r} must be {wanted}, not {found}: save "
            f"{spec.name}.astype({spec.dtype!r})"
        )
    if not array.size:
        raise ValueError(f"{path}: {spec.name!r} holds no sample: it is {found}")
    if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
        sample = int(np.argmin(finite.reshape(len(array), -1).all(axis=1)))
        raise ValueError(
            f"{path}: {spec.name!r} has a NaN or infinity in sample {sample}: remove such samples"
        )
    size = _first(spec)
    if len(array) % size:
        fewer, more = len(array) // size * size, -(-len(array) // size) * size
        raise ValueError(
            f"{path}: {len(array)} samples of {spec.name!r} do not fill batches of {size}, which "
            f"the model takes: give {f'{fewer} or ' if fewer else ''}{more}"
        )
