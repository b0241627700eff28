"""Which shapes the inputs of a model declare, and what its dynamic sizes become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ..backend import TensorSpec

__all__ = ["Shape", "onnx_inputs", "program_inputs", "settle"]

Shape = tuple[int, ...]


def onnx_inputs(path: Path) -> list[TensorSpec] | None:
    """Return the inputs that an ONNX file declares; None if it cannot be read.

    `tvm_book.frontend.from_onnx` says why it cannot.
    """
    from ..backend import TensorSpec

    try:
        import onnx

        graph = onnx.load(path, load_external_data=False).graph
    except Exception:
        return None
    stored = {tensor.name for tensor in graph.initializer}
    found = []
    for info in graph.input:
        tensor = info.type.tensor_type
        if info.name in stored or not tensor.elem_type:
            continue
        sizes = [dim.dim_value or None for dim in tensor.shape.dim]
        shape = tuple(sizes) if tensor.HasField("shape") else None
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        found.append(TensorSpec(info.name, shape, dtype))
    return found


def program_inputs(program: torch.export.ExportedProgram) -> list[TensorSpec]:
    """Return the inputs that an exported program declares."""
    from ..backend import TensorSpec

    names = [name for name in program.graph_signature.user_inputs if isinstance(name, str)]
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.name in names}
    return [
        TensorSpec(
            name,
            tuple(size if isinstance(size, int) else None for size in values[name].shape),
            str(values[name].dtype).removeprefix("torch."),
        )
        for name in names
    ]


def settle(
    path: Path,
    declared: Sequence[TensorSpec],
    given: Mapping[str, Shape],
    batch_size: int | None = None,
    seen: Mapping[str, Shape] = MappingProxyType({}),
    like: Mapping[str, Shape] = MappingProxyType({}),
) -> list[TensorSpec]:
    """Give every dynamic size a number.

    Parameters
    ----------
    path : Path
        Of the model, for messages.
    declared : sequence of TensorSpec
        Dynamic sizes are None.
    given : mapping from name to shape
        From the command line; the importer checks them.
    batch_size : int, optional
        For first axes that are dynamic; by default 1.
    seen : mapping from name to shape
        Shapes of data, whose first axis counts samples.
    like : mapping from name to shape
        What another model takes, that this one is compared with; it goes before the others.

    Raises
    ------
    ValueError
        A name is unknown, a size remains dynamic, or no first axis is.

    Examples
    --------
    >>> from tvm_book.backend import TensorSpec
    >>> print(*settle("m", [TensorSpec("x", (None, 3, None), "int8")], {}, 4, {"x": (99, 3, 7)}))
    x: int8 (4, 3, 7)
    """
    names = [spec.name for spec in declared]
    for name in given:
        if name not in names:
            raise ValueError(f"--shape {name}: the inputs of {path} are {', '.join(names)}")
    dynamic = any(spec.shape is None or spec.shape[:1] == (None,) for spec in declared)
    if batch_size is not None and declared and not dynamic:
        first = declared[0]
        if first.shape[:1] != (batch_size,):
            raise ValueError(
                f"--batch-size {batch_size}: {path} has fixed shapes, {first}: export it with a "
                "dynamic first axis"
            )
    sizes = {name: (batch_size or 1, *shape[1:]) for name, shape in seen.items() if shape}
    return [_settle(path, spec, given, {**sizes, **like}, batch_size or 1) for spec in declared]


def _settle(
    path: Path,
    spec: TensorSpec,
    given: Mapping[str, Shape],
    known: Mapping[str, Shape],
    batch_size: int,
) -> TensorSpec:
    if spec.name in given:
        return replace(spec, shape=given[spec.name])
    wanted, sizes = known.get(spec.name), spec.shape
    if sizes is None:
        sizes = wanted
    elif None in sizes:
        if wanted is None or len(wanted) != len(sizes):
            wanted = (batch_size, *sizes[1:])
        sizes = tuple(b if a is None else a for a, b in zip(sizes, wanted, strict=True))
    if sizes is None or None in sizes:
        text = str(spec).replace("None", "?")
        raise ValueError(
            f"{path} has an input of dynamic shape, {text}: give --shape {spec.name}=1,..."
        )
    return replace(spec, shape=sizes)
