"""Compare a conversion with the types that ONNX itself infers."""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper
from tvm import relax

from ._onnx_node import Node, Operand
from ._torch_layers import shape_of

_LARGEST = 64  # elements of a known operand on which a shape may depend


def check_types(node: Node, results: list[relax.Expr], model: onnx.ModelProto) -> None:
    """Refuse results of another type than the specification of the operator gives them.

    TVM's importer does not notice every argument that it ignores.
    """
    if node.schema is None:
        return
    given = {name: x for name, x in zip(node.proto.input, node.operands, strict=True) if x}
    data = {
        name: numpy_helper.from_array(x.array, name)
        for name, x in given.items()
        if x.array is not None and x.array.size <= _LARGEST
    }
    types = onnx.shape_inference.infer_node_outputs(
        node.schema,
        node.proto,
        {name: x.type for name, x in given.items()},
        data,
        opset_imports=list(model.opset_import),
        ir_version=model.ir_version,
    )
    for name, result in zip(node.proto.output, results, strict=False):
        if name in types:
            _compare(types[name].tensor_type, result)


def _compare(expected: onnx.TypeProto.Tensor, result: relax.Expr) -> None:
    sizes = shape_of(result)
    wanted = [dim.dim_value or None for dim in expected.shape.dim]
    fits = not expected.HasField("shape") or (
        len(sizes) == len(wanted)
        and all(b is None or a == b for a, b in zip(sizes, wanted, strict=True))
    )
    if not fits or expected.elem_type != Operand(result).type.tensor_type.elem_type:
        dtype = helper.tensor_dtype_to_np_dtype(expected.elem_type)
        raise NotImplementedError(
            f"the conversion gives {result.ty.dtype}{sizes} where ONNX gives {dtype}{wanted}"
        )
