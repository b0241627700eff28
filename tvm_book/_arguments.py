"""The arguments of a call, matched with the inputs of a model as Python matches parameters."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tvm

from ._tensors import TensorSpec, to_tensor


def bind_arguments(
    inputs: Sequence[TensorSpec], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[tvm.runtime.Tensor]:
    """Return one checked tensor per input, in the inputs' order.

    Raises
    ------
    TypeError
        An argument is unknown, missing, given twice or one too many, or has the wrong type.
    ValueError
        An argument has the wrong shape.
    """
    names = [spec.name for spec in inputs]
    takes = f"the model takes {', '.join(map(str, inputs)) or 'no inputs'}"
    if len(args) > len(names):
        raise TypeError(f"{len(args)} positional arguments given; {takes}")
    values = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]!r}?" if near else takes
            raise TypeError(f"there is no input {name!r}; {hint}")
        if name in values:
            raise TypeError(f"input {name!r} is given twice, by position and by name")
        values[name] = value
    if missing := [name for name in names if name not in values]:
        raise TypeError(
            f"no value for input {', '.join(map(repr, missing))}; {takes}. "
            "Weights are given once, to tvm_book.compile as params="
        )
    return [to_tensor(spec, values[spec.name]) for spec in inputs]


def to_numpy(result: Any) -> np.ndarray | tuple:
    """Copy what the virtual machine returned: it may share memory with an input or a constant."""
    if isinstance(result, tvm.runtime.Tensor):
        return result.numpy()
    return tuple(to_numpy(field) for field in result)
