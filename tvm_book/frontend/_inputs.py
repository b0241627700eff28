"""Read and check the ``input_shapes`` argument of an importer."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

INPUT_DTYPES = ("float32", "int64", "int32", "int16", "int8", "uint8", "bool")
_ALIASES = {"float": "float32", "int": "int32", "long": "int64"}
_EXPECTED = 'a list of (name, shape) pairs such as [("data", (1, 3, 224, 224))]'


@dataclass(frozen=True)
class ModelInput:
    """One input of a model: its name, static shape and element type."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


def parse_input_shapes(input_shapes: Any) -> list[ModelInput]:
    """Turn ``[(name, shape)]`` or ``[(name, (shape, dtype))]`` into checked inputs.

    Raises
    ------
    TypeError
        `input_shapes` is not a list of pairs, or a part has the wrong type.
    ValueError
        It is empty, repeats a name, or has a size or dtype that an input cannot have.
    """
    if isinstance(input_shapes, dict):
        raise TypeError(
            f"input_shapes must be {_EXPECTED}, not a dict, because the order of the inputs "
            "matters: pass list(input_shapes.items())"
        )
    if not isinstance(input_shapes, list | tuple):
        raise TypeError(f"input_shapes must be {_EXPECTED}, not {type(input_shapes).__name__}")
    if not input_shapes:
        raise ValueError(f"input_shapes is empty: pass {_EXPECTED}, one pair per model input")
    inputs = [_parse_one(item) for item in input_shapes]
    names = [item.name for item in inputs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"input_shapes names {name!r} twice: give every input its own name")
    return inputs


def _parse_one(item: Any) -> ModelInput:
    if not isinstance(item, list | tuple) or len(item) != 2 or not isinstance(item[0], str):
        raise TypeError(f"input_shapes must be {_EXPECTED}, but contains {_short(item)}")
    name, shape = item
    dtype: Any = "float32"
    if not name:
        raise ValueError("input_shapes has an input without a name: names must not be empty")
    if isinstance(shape, list | tuple) and len(shape) == 2 and isinstance(shape[0], list | tuple):
        shape, dtype = shape
    return ModelInput(name, _parse_shape(name, shape), _parse_dtype(name, dtype))


def _parse_shape(name: str, shape: Any) -> tuple[int, ...]:
    if isinstance(shape, str) or not isinstance(shape, Iterable):
        raise TypeError(
            f"the shape of input {name!r} must be a tuple of integers, not {_short(shape)}"
        )
    sizes = []
    for size in shape:
        try:
            value = None if isinstance(size, bool) else operator.index(size)
        except Exception:  # a symbolic size may refuse to be an integer in many ways
            value = None
        if value is None:
            raise TypeError(
                f"the shape of input {name!r} contains {_short(size)}: every size must be a fixed "
                "integer, since shapes are static here; import once per size that you need"
            )
        if value <= 0:
            raise ValueError(
                f"the shape of input {name!r} contains {value}: every size must be at least 1; "
                "write the real size instead of a placeholder"
            )
        sizes.append(value)
    return tuple(sizes)


def _parse_dtype(name: str, dtype: Any) -> str:
    # torch.int64 prints as "torch.int64"; NumPy types and dtypes have a name.
    text = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", None) or str(dtype)
    text = text.removeprefix("torch.")
    text = _ALIASES.get(text, text)
    if text not in INPUT_DTYPES:
        raise ValueError(
            f"the dtype of input {name!r} is {dtype!r}: use one of {', '.join(INPUT_DTYPES)}"
        )
    return text


def _short(value: Any) -> str:
    """Name a value in a message: an array by its type and shape, anything else as it is written."""
    if getattr(value, "ndim", 0):
        return f"a {type(value).__name__} of shape {tuple(value.shape)}"
    return repr(value)
