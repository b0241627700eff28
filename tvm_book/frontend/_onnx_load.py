"""Read an ONNX model, check it, and settle the shapes of its inputs."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

import onnx
from onnx import checker, helper, inliner, version_converter

from ._errors import UnsupportedModelError
from ._inputs import INPUT_DTYPES, ModelInput, parse_input_shapes

OLDEST_OPSET = 13  # what is older is converted to this one
# What the checker objects to, and we do not: an operator of others, which the conversion reports
# with its place, and a result of unknown rank.
_HARMLESS = ("No Op registered", "Field 'shape' of 'type' is required")
_LARGEST_PROTO = 2**31  # bytes; protobuf, and so the checker, cannot take more in one piece


def load(model: Any) -> onnx.ModelProto:
    """Return the checked model, at an opset of at least 13, without functions of its own.

    Raises
    ------
    TypeError, FileNotFoundError, IsADirectoryError, ValueError, UnsupportedModelError
        As told by `from_onnx`.
    """
    if isinstance(model, onnx.ModelProto):
        proto, source = model, "the model"
        _check_external_data(proto)
    elif isinstance(model, str | os.PathLike):
        proto, source = _read(Path(model)), repr(os.fspath(model))
    else:
        hint = ": pass its .model_proto" if hasattr(model, "model_proto") else ""
        raise TypeError(
            f"model must be the path of an .onnx file or an onnx.ModelProto, not "
            f"{type(model).__name__}{hint}"
        )
    if not proto.graph.output or not proto.opset_import:
        raise ValueError(f"{source} is no ONNX model, or an empty one: it computes nothing")
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    _check(proto, source)
    return _at_supported_opset(proto)


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the standard operators that a model uses, 0 if it names none."""
    versions = [item.version for item in model.opset_import if item.domain in ("", "ai.onnx")]
    return versions[0] if versions else 0


def _read(path: Path) -> onnx.ModelProto:
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder: pass the .onnx file inside it")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    try:
        return onnx.load(path)
    except (checker.ValidationError, FileNotFoundError, ValueError) as error:
        raise ValueError(
            f"{str(path)!r} keeps tensors in other files, which cannot be read: {_line(error)}. "
            "Put them beside it, under the names that they were saved with"
        ) from error
    except Exception as error:  # the parsers of protobuf have errors of their own
        raise ValueError(
            f"{str(path)!r} is no ONNX file, or it is cut off: {_line(error) or 'bad content'}"
        ) from error


def _check_external_data(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError(
                f"tensor {tensor.name!r} is in another file, which the model in memory does not "
                "hold: pass the path of the model, or what onnx.load(path) returns"
            )


def _check(model: onnx.ModelProto, source: str) -> None:
    newest = onnx.defs.onnx_opset_version()
    if opset_of(model) > newest:
        raise UnsupportedModelError(
            f"{source} uses opset {opset_of(model)}, and the installed onnx knows them up to "
            f"{newest}: upgrade onnx, or export the model with opset_version={newest}"
        )
    if model.ByteSize() >= _LARGEST_PROTO:
        return
    try:
        checker.check_model(model)
    except checker.ValidationError as error:
        if any(text in str(error) for text in _HARMLESS):
            return
        raise ValueError(f"{source} is no valid ONNX model: {_line(error)}") from error


def _at_supported_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    if not 0 < opset_of(model) < OLDEST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, OLDEST_OPSET)
    except Exception as error:
        raise UnsupportedModelError(
            f"the model uses opset {opset_of(model)}, which cannot be converted to "
            f"{OLDEST_OPSET} ({_line(error)}): export it again with a newer opset_version"
        ) from error


def model_inputs(model: onnx.ModelProto, input_shapes: Any) -> list[ModelInput]:
    """Return the inputs of the graph, with the shapes that the user or the model gives them."""
    given = _given(input_shapes)
    stored = {tensor.name for tensor in model.graph.initializer}
    infos = [info for info in model.graph.input if info.name not in stored]
    names = [info.name for info in infos]
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names) or 'none'}"
            raise ValueError(f"input_shapes: the model has no input {name!r}; {hint}")
    return [_settle(info, given.get(info.name)) for info in infos]


def _given(input_shapes: Any) -> dict[str, tuple[ModelInput, bool]]:
    """Return the wanted inputs by name, and of each whether its dtype was given as well."""
    if input_shapes is None or input_shapes == {}:
        return {}
    # here the order does not matter
    pairs = list(input_shapes.items()) if isinstance(input_shapes, dict) else input_shapes
    inputs = parse_input_shapes(pairs)
    typed = [len(shape) == 2 and isinstance(shape[0], list | tuple) for _, shape in pairs]
    return {item.name: (item, known) for item, known in zip(inputs, typed, strict=True)}


def _settle(info: onnx.ValueInfoProto, given: tuple[ModelInput, bool] | None) -> ModelInput:
    tensor = info.type.tensor_type
    if info.type.WhichOneof("value") != "tensor_type" or not tensor.elem_type:
        raise UnsupportedModelError(
            f"input {info.name!r} is no tensor: export a model whose inputs are tensors"
        )
    dtype = str(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    if dtype not in INPUT_DTYPES:
        raise UnsupportedModelError(
            f"input {info.name!r} is {dtype}, and can be {', '.join(INPUT_DTYPES)}: export the "
            "model in float32"
        )
    declared = [dim.dim_value or dim.dim_param or "?" for dim in tensor.shape.dim]
    text = f"{dtype}[{', '.join(map(str, declared))}]" if tensor.HasField("shape") else dtype
    if given is None:
        if not tensor.HasField("shape") or not all(isinstance(dim, int) for dim in declared):
            raise ValueError(
                f"input {info.name!r} of the model has a dynamic shape, {text}: fix it with "
                f'input_shapes=[("{info.name}", (1, ...))]'
            )
        return ModelInput(info.name, tuple(declared), dtype)
    wanted, typed = given
    fits = not tensor.HasField("shape") or (
        len(declared) == len(wanted.shape)
        and all(isinstance(a, str) or a == b for a, b in zip(declared, wanted.shape, strict=True))
    )
    if not fits or typed and wanted.dtype != dtype:
        raise ValueError(
            f"input_shapes: input {info.name!r} of the model is {text}, which "
            f"{wanted.dtype if typed else dtype}{list(wanted.shape)} does not fit: only dynamic "
            "sizes can be chosen; for other ones export the model again, with dynamic axes"
        )
    return ModelInput(info.name, wanted.shape, dtype)


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else ""
