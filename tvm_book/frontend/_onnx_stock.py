"""The ONNX operators that are left to TVM's own importer.

Its converters are used one by one, not wholesale: several spell operators in another way than
`from_pytorch` does, emit calls of loops where Relax has an operator, or compute something else.
Every name here is run against ONNX's reference by the tests.
"""

from __future__ import annotations

from typing import Any

from tvm import relax
from tvm.relax.frontend.onnx import onnx_frontend

from ._onnx_node import Node

_STOCK = frozenset(
    """
    Abs Acos Acosh And ArgMax ArgMin Asin Asinh Atan Atanh BitwiseAnd BitwiseNot BitwiseOr
    BitwiseXor Ceil Cos Cosh DynamicQuantizeLinear Erf Exp Floor GatherElements GatherND Gelu
    GlobalLpPool Greater GreaterOrEqual GridSample Hardmax IsNaN LRN LeakyRelu Less LessOrEqual Log
    LogSoftmax LpPool MatMulInteger MeanVarianceNormalization Mish Mod Mul Neg Not Or Reciprocal
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare Relu Round ScatterElements
    ScatterND Selu Shrink Sigmoid Sign Sin Sinh Softmax Softsign Sqrt Sub Tan Tanh ThresholdedRelu
    TopK Trilu Where Xor
    """.split()
)
_parse_attributes = onnx_frontend.ONNXGraphImporter._parse_attr  # does not read its self


def is_stock(kind: str) -> bool:
    """Whether TVM's importer converts the operator as it should be."""
    return kind in _STOCK


def convert_stock(builder: relax.BlockBuilder, node: Node) -> Any:
    """Convert a node with TVM's importer, whose converters do not emit their last step."""
    converter = onnx_frontend._get_convert_map()[node.kind].get_converter(node.opset)
    inputs = onnx_frontend.onnx_input(
        None if operand is None else operand.expr for operand in node.operands
    )
    attributes = _parse_attributes(None, node.proto.attribute)
    attributes["tvm_custom"] = {"name": node.proto.name, "num_outputs": node.count}
    result = converter(builder, inputs, attributes, [{}, {}])
    parts = list(result.fields) if isinstance(result, relax.Tuple) else [result]
    parts = [builder.emit(part) if isinstance(part, relax.Call) else part for part in parts]
    if len(parts) == 1 and isinstance(parts[0].ty, relax.TupleType):
        return [builder.emit(parts[0][i]) for i in range(len(parts[0].ty.fields))]
    return parts
