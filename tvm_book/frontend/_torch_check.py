"""Check a PyTorch model before its capture, and explain a capture that failed."""

from __future__ import annotations

import contextlib
import copy
import math
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.nn.parameter import is_lazy

from ._errors import UnsupportedModelError
from ._inputs import ModelInput
from ._torch_nodes import locate_exception


def check_tensors(tensors: dict[str, torch.Tensor], inputs: list[ModelInput]) -> None:
    """Refuse tensors that cannot become parameters, and inputs that take a tensor's name."""
    for name, tensor in tensors.items():
        if is_lazy(tensor):
            raise UnsupportedModelError(
                f"parameter {name!r} has no shape yet: run the model once before importing it"
            )
        if tensor.device.type != "cpu":
            raise UnsupportedModelError(
                f"parameter {name!r} is on device {str(tensor.device)!r}: pass model.cpu()"
            )
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise UnsupportedModelError(
                f"parameter {name!r} is sparse or quantized: make it a dense float32 tensor"
            )
        if tensor.is_complex() or tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise UnsupportedModelError(
                f"parameter {name!r} is {str(tensor.dtype).removeprefix('torch.')}, and only "
                "float32 models can be imported: pass model.float()"
            )
    for item in inputs:
        if item.name in tensors:
            raise ValueError(
                f"input {item.name!r} has the name of a parameter of the model: name the input "
                "differently in input_shapes (inputs go by position, any name will do)"
            )


def check_exported_input(item: ModelInput, value: torch.Tensor, program: ExportedProgram) -> None:
    """Refuse an input that differs from what a program was exported for."""
    ranges = [_range(size, program) for size in value.shape]
    fits = len(ranges) == len(item.shape) and all(
        low <= size <= high for size, (low, high) in zip(item.shape, ranges, strict=True)
    )
    dtype = str(value.dtype).removeprefix("torch.")
    if not fits or dtype != item.dtype:
        shape = ", ".join(str(low) if low == high else f"{low}..{high}" for low, high in ranges)
        raise ValueError(
            f"input {item.name!r} is {item.dtype}{list(item.shape)}, but the program was exported "
            f"for {dtype}[{shape}]: ask for that, or export it again with dynamic_shapes or with "
            "example inputs of the new size"
        )


def _range(size: int | torch.SymInt, program: ExportedProgram) -> tuple[Any, Any]:
    if isinstance(size, int):
        return size, size
    limits = program.range_constraints.get(size.node.expr)  # a derived size has none of its own
    return (1, math.inf) if limits is None else (limits.lower, limits.upper)


def wrong_count(inputs: list[ModelInput], taker: str) -> ValueError:
    """Return the error for a number of inputs that the model does not take."""
    names = ", ".join(item.name for item in inputs)
    return ValueError(
        f"input_shapes has {len(inputs)} inputs ({names}), which do not fit {taker}: give one "
        "(name, shape) pair per argument, in the order of the arguments"
    )


@contextlib.contextmanager
def explained(
    model: Callable, args: Any, kwargs: Any, inputs: list[ModelInput], alternative: str
) -> Iterator[None]:
    """Turn what torch raises while it captures `model` into one error that says what to do."""
    try:
        yield
    except GuardOnDataDependentSymNode as error:
        raise UnsupportedModelError(
            "the model takes a decision that depends on the values of its tensors"
            f"{locate_exception(error)}. A Relax function here has no branches: pass {alternative} "
            "if one branch is enough, or compute both and select with torch.where"
        ) from error
    except Exception as error:
        rejected = _run(model, args, kwargs)
        if rejected is not None:
            shapes = ", ".join(f"{i.name}: {i.dtype}{list(i.shape)}" for i in inputs)
            raise ValueError(
                f"the model rejects the inputs {shapes}{locate_exception(rejected)}: "
                f"{_summary(rejected)}. Give the shapes and dtypes that it expects, such as "
                '("data", (1, 16, 4, 4)) or ("ids", ((1, 8), "int64"))'
            ) from rejected
        raise UnsupportedModelError(
            f"the model runs, but torch cannot capture it{locate_exception(error)}: "
            f"{_summary(error)}. Try to pass {alternative}"
        ) from error


def _run(model: Callable, args: Any, kwargs: Any) -> Exception | None:
    # A model may write to its own tensors, so a full copy runs.
    try:
        with torch.no_grad():
            copy.deepcopy(model)(*args, **kwargs)
    except Exception as error:
        return error
    return None


def _summary(error: Exception) -> str:
    """Return the line of a torch error that carries its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
    # TorchScript puts its own traceback first, and the message behind this name at its end.
    message = next((line for line in lines if line.startswith("RuntimeError: ")), lines[0])
    message = message.removeprefix("RuntimeError: ").rstrip(".")
    return f"{type(error).__name__}: {textwrap.shorten(message, 300)}"
