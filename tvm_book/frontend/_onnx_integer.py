"""Write operators on quantized values as the float operator between dequantize and quantize.

That is how the ONNX specification and ONNX Runtime define QLinearConv and its relatives. Models in
the "operator format" so become models in the "QDQ format", and the rest of the importer knows one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ._errors import UnsupportedModelError
from ._onnx_load import opset_of
from ._onnx_node import Node

_RUNTIME = "com.microsoft."  # the operators that ONNX Runtime adds


@dataclass(frozen=True)
class _Form:
    """Where an operator has its operands: the value, whose scale and zero point follow it."""

    operator: str
    result: int  # the scale of the result; its zero point follows
    reads: tuple[int, ...] = (0,)
    bias: int | None = None  # int32, in units of the product of the scales of the first two


_FORMS = {
    "QLinearConv": _Form("Conv", 6, (0, 3), bias=8),
    "QLinearMatMul": _Form("MatMul", 6, (0, 3)),
    _RUNTIME + "QGemm": _Form("Gemm", 7, (0, 3), bias=6),
    _RUNTIME + "QLinearAdd": _Form("Add", 6, (0, 3)),
    _RUNTIME + "QLinearMul": _Form("Mul", 6, (0, 3)),
    _RUNTIME + "QLinearSigmoid": _Form("Sigmoid", 3),
    _RUNTIME + "QLinearLeakyRelu": _Form("LeakyRelu", 3),
    _RUNTIME + "QLinearSoftmax": _Form("Softmax", 3),
    _RUNTIME + "QLinearAveragePool": _Form("AveragePool", 3),
    _RUNTIME + "QLinearGlobalAveragePool": _Form("GlobalAveragePool", 3),
    _RUNTIME + "QLinearConcat": _Form("Concat", 0, ()),  # any number of operands
}
_NOT_OF_THE_FLOAT_OPERATOR = ("channels_last", "opset")


def expand_integer_operators(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with float operators, QuantizeLinear and DequantizeLinear instead."""
    if not any(Node(node, [], 0).kind in _FORMS for node in model.graph.node):
        return model
    expanded = onnx.ModelProto()
    expanded.CopyFrom(model)
    graph = expanded.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for proto in model.graph.node:
        node = Node(proto, [], opset_of(model))
        form = _FORMS.get(node.kind)
        nodes += [proto] if form is None else _expand(node, form, stored)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(stored.values())
    return expanded


def _expand(node: Node, form: _Form, stored: dict[str, onnx.TensorProto]) -> list[onnx.NodeProto]:
    if node["channels_last"]:
        raise UnsupportedModelError(f"{node.kind} has channels_last=1{node.place}: use 0")
    name, inputs = node.proto.output[0], list(node.proto.input)
    inputs += [""] * (form.result + 2 - len(inputs))
    reads = form.reads or range(2, len(inputs), 3)
    nodes, values = [], []
    for count, position in enumerate(reads):
        values.append(f"{name}/operand{count}")
        axis = _weight_axis(node, form) if count == 1 else -1
        given = inputs[position : position + 3]
        nodes.append(helper.make_node("DequantizeLinear", given, values[-1:], axis=axis))
    if form.bias is not None and form.bias < len(inputs) and inputs[form.bias]:
        scale = f"{name}/bias_scale"
        stored[scale] = _product(node, stored, inputs[reads[0] + 1], inputs[reads[1] + 1], scale)
        values.append(f"{name}/bias")
        given = [inputs[form.bias], scale]
        nodes.append(helper.make_node("DequantizeLinear", given, values[-1:], axis=0))
    in_float = not inputs[form.result]  # QGemm may leave the quantization of its result out
    result = name if in_float else f"{name}/float"
    operator = helper.make_node(form.operator, values, [result], node.proto.name)
    operator.attribute.extend(
        item for item in node.proto.attribute if item.name not in _NOT_OF_THE_FLOAT_OPERATOR
    )
    nodes.append(operator)
    if not in_float:
        grid = inputs[form.result : form.result + 2]
        nodes.append(helper.make_node("QuantizeLinear", [result, *grid], [name]))
    for made in nodes:
        made.name = node.proto.name
        made.metadata_props.extend(node.proto.metadata_props)
    return nodes


def _weight_axis(node: Node, form: _Form) -> int:
    """Return the axis of the output channels in the second operand."""
    return 0 if form.operator == "Conv" or node["transB"] else -1


def _product(node, stored, first: str, second: str, name: str) -> onnx.TensorProto:
    if first not in stored or second not in stored:
        raise UnsupportedModelError(
            f"{node.kind} computes its scales at run time{node.place}: quantize statically"
        )
    first, second = (numpy_helper.to_array(stored[scale]).ravel() for scale in (first, second))
    product = first * second / np.float32(node["alpha"] or 1)
    return numpy_helper.from_array(product if product.size > 1 else product.reshape(()), name)
