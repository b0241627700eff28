"""View an array of any library as NumPy, sharing its memory where that can be done."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Source:
    """A numeric array, and whether its uint16 elements are the bits of bfloat16 numbers."""

    array: np.ndarray
    bfloat16_bits: bool = False

    @property
    def piece_dtype(self) -> type:
        """What to read from `array` before `decode`."""
        return np.uint16 if self.bfloat16_bits else np.float64

    def decode(self, piece: np.ndarray) -> np.ndarray:
        """Elements as float64."""
        if self.bfloat16_bits:  # a bfloat16 is the upper half of a float32
            piece = (piece.astype(np.uint32) << 16).view(np.float32)
        return piece.astype(np.float64, copy=False)


def source(value: Any) -> Source:
    """View `value` as a source of real numbers, or raise `TypeError`."""
    torch = sys.modules.get("torch")  # whoever passes a tensor has imported it
    try:
        if torch is not None and isinstance(value, torch.Tensor):
            found = _from_torch(value, torch)
        else:
            found = Source(_from_any(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"cannot read a {type(value).__name__} as one array of numbers ({error}); "
            "pass a dense NumPy, torch or TVM array, or a list of equally long rows"
        ) from error
    if not np.can_cast(found.array.dtype, np.float64, "same_kind"):
        raise TypeError(
            f"cannot measure a {type(value).__name__} with elements of type {found.array.dtype}: "
            "pass one array of bool, integer or real floating-point numbers (pick one output of "
            "several; compare .real and .imag of complex arrays separately)"
        )
    return found


def pair(first: Any, second: Any) -> tuple[Source, Source]:
    """Two sources of the same shape with at least one element, or raise `ValueError`."""
    x, y = source(first), source(second)
    if x.array.shape != y.array.shape:
        raise ValueError(
            f"shapes differ: the first array has {x.array.shape}, the second {y.array.shape}; "
            "metrics compare element by element and never broadcast: reshape one of them first"
        )
    if x.array.size == 0:
        raise ValueError(
            f"cannot compare empty arrays (shape {x.array.shape}): there is nothing to measure; "
            "check the slice or the dataset that they came from"
        )
    return x, y


def _from_torch(tensor: Any, torch: Any) -> Source:
    if tensor.dtype == torch.bfloat16:  # NumPy has no such type: share the bits
        return Source(tensor.detach().view(torch.int16).numpy(force=True).view(np.uint16), True)
    if tensor.dtype.is_floating_point and tensor.dtype.itemsize == 1:  # float8: not in NumPy either
        tensor = tensor.float()
    return Source(tensor.numpy(force=True))


def _from_any(value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError):  # a dtype or device that NumPy cannot share
            if hasattr(value, "numpy"):
                value = value.numpy()
    return np.asarray(value)
