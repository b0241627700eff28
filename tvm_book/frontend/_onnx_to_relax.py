"""Write an ONNX graph as a Relax function."""

from __future__ import annotations

import re
import textwrap

import numpy as np
import onnx
import tvm
from onnx import inliner, numpy_helper
from tvm import relax

from ._errors import UnsupportedModelError
from ._finish import finish
from ._inputs import ModelInput
from ._onnx_check import check_types
from ._onnx_elementwise import ONNX_ELEMENTWISE
from ._onnx_images import ONNX_IMAGES
from ._onnx_integer import expand_integer_operators
from ._onnx_layers import ONNX_LAYERS
from ._onnx_load import opset_of
from ._onnx_node import Node, Operand
from ._onnx_paths import Paths
from ._onnx_quantize import ONNX_QUANTIZE, integer_weights
from ._onnx_recurrent import ONNX_RECURRENT
from ._onnx_resize import ONNX_RESIZE
from ._onnx_shapes import ONNX_SHAPES
from ._onnx_stock import convert_stock, is_stock
from ._paths import PathBuilder

_CONVERTERS = {
    **ONNX_LAYERS,
    **ONNX_RECURRENT,
    **ONNX_IMAGES,
    **ONNX_RESIZE,
    **ONNX_SHAPES,
    **ONNX_ELEMENTWISE,
    **ONNX_QUANTIZE,
}
_RANDOM = ("Random", "Bernoulli", "Multinomial")
_HANDLED = ("Dropout", "Identity", "If", "Shape", "Size")  # by the importer itself
# Operators that models use to compute shapes; they are evaluated at import, never converted.
_SHAPE_ONLY = ("Constant", "ConstantOfShape", "NonZero", "Range")
_WEIGHT_DTYPES = ("float32", "int8", "uint8", "int16", "uint16", "int32")
_ADVICE = (
    "Export the model with other operators there, or split it and leave that part to ONNX Runtime"
)
_OPERATOR = re.compile(r'ir\.Op\(.*?name="([^"]+)".*?support_level=\d+\)', re.DOTALL)


def to_relax(
    model: onnx.ModelProto, inputs: list[ModelInput]
) -> tuple[tvm.IRModule, dict[str, tvm.runtime.Tensor]]:
    """Convert every operator; the tensors that are in use become parameters."""
    importer = _Importer(_expand_functions(expand_integer_operators(model)))
    variables = [relax.Var(i.name, relax.TensorType(i.shape, i.dtype)) for i in inputs]
    importer.values.update((var.name, Operand(var)) for var in variables)
    builder, failure = importer.builder, None
    with builder.function("main", variables):
        with builder.dataflow():
            try:
                importer.run(importer.model.graph)
                results = [importer.read(item.name).expr for item in importer.model.graph.output]
            except Exception as error:
                # The builder complains on stderr unless it is led to the end of its function.
                failure, results = error, [relax.const(0)]
            output = builder.emit_results(results)
        builder.emit_func_output(output)
    if failure is not None:
        raise failure
    return finish(builder.get(), len(inputs), importer.weights)


def _expand_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write the operators that we have no conversion for as ONNX defines them, if it does."""
    while unknown := _unknown(model):
        defined = {(node.proto.domain, node.proto.op_type) for node in unknown if _is_defined(node)}
        try:
            if not defined:
                raise RuntimeError("ONNX itself does not define it by other operators")
            model = inliner.inline_selected_functions(
                model, sorted(defined), inline_schema_functions=True
            )
        except RuntimeError as error:  # the inliner cannot do it for all kinds of operands
            found = "; ".join(dict.fromkeys(f"{node.kind}{node.place}" for node in unknown))
            raise UnsupportedModelError(f"there is no conversion for {found}. {_ADVICE}") from error
    return model


def _unknown(model: onnx.ModelProto) -> list[Node]:
    nodes = [Node(proto, [], opset_of(model)) for proto in model.graph.node]
    return [node for node in nodes if not _is_known(node.kind)]


def _is_known(kind: str) -> bool:
    return kind in _CONVERTERS or kind in _HANDLED or is_stock(kind) or kind in _SHAPE_ONLY


def _is_defined(node: Node) -> bool:
    schema = node.schema
    return schema is not None and (schema.has_function or schema.has_context_dependent_function)


class _Importer:
    """Walks a graph in order, and knows the value behind every name."""

    def __init__(self, model: onnx.ModelProto):
        self.model = model
        self.opset = opset_of(model)
        self.builder = PathBuilder()
        self.paths = Paths()
        self.values: dict[str, Operand | None] = {"": None}
        self.weights: dict[str, np.ndarray] = {}

    def run(self, graph: onnx.GraphProto) -> None:
        """Convert the nodes of a graph."""
        self._declare(graph)
        for proto in graph.node:
            operands = [self.read(name, proto) for name in proto.input]
            node = Node(proto, operands, self.opset)
            self.builder.path = self.paths.visit(node)
            try:
                results = self._results(node)
            except UnsupportedModelError:
                raise
            except Exception as error:
                reason = _OPERATOR.sub(r"\1", str(error)) or type(error).__name__
                raise UnsupportedModelError(
                    f"{node.kind} cannot be written in Relax{node.place}: "
                    f"{textwrap.shorten(reason, 200)}. {_ADVICE}"
                ) from error
            self.values.update(zip((name for name in proto.output), results, strict=False))
            self.values[""] = None

    def read(self, name: str, reader: onnx.NodeProto | None = None) -> Operand | None:
        """Return the value behind a name, which a node or else the model itself reads."""
        if name not in self.values:
            place = Node(reader, [], 0).place if reader else " (an output of the model)"
            raise UnsupportedModelError(
                f"result {name!r}, which is read{place}, has no counterpart in Relax. {_ADVICE}"
            )
        return self.values[name]

    def _declare(self, graph: onnx.GraphProto) -> None:
        if graph.sparse_initializer:
            raise UnsupportedModelError("the model has sparse tensors: store them as dense ones")
        integers = integer_weights(graph)
        for tensor in graph.initializer:
            array = numpy_helper.to_array(tensor)
            name, dtype = tensor.name, str(array.dtype)
            is_weight = array.ndim > 0 and (dtype.startswith("float") or name in integers)
            if not is_weight:
                self.values[name] = Operand(array=array)
                continue
            if dtype not in _WEIGHT_DTYPES:
                raise UnsupportedModelError(
                    f"tensor {name!r} is {dtype}, and only float32 models, or such with quantized "
                    "weights, can be imported: export the model in float32"
                )
            var = relax.Var(name, relax.TensorType(array.shape, dtype))
            self.values[name] = Operand(var, array, is_weight=True)
            self.weights[name] = array
            self.paths.add_weight(name)

    def _results(self, node: Node) -> list[Operand | None]:
        if node.kind in _HANDLED:
            return getattr(self, f"_convert_{node.kind.lower()}")(node)
        if _is_computable(node):
            return [Operand(array=array) for array in node.compute()]
        converter = _CONVERTERS.get(node.kind)
        if converter is not None:
            operands = [operand and operand.expr for operand in node.operands]
            results = converter(self.builder.emit, node, *operands)
            results = results if isinstance(results, list) else [results]
        elif is_stock(node.kind):
            results = convert_stock(self.builder, node)
            check_types(node, results, self.model)
        elif _is_known(node.kind):
            raise NotImplementedError("its operands depend on values that only the run knows")
        else:  # in a branch that was chosen
            raise NotImplementedError("there is no conversion for it")
        return [Operand(x, source=node, position=i) for i, x in enumerate(results)]

    def _convert_identity(self, node: Node) -> list[Operand]:
        return node.operands[:1]

    def _convert_dropout(self, node: Node) -> list[Operand]:
        if node.has(2) and node.known(2, "training_mode").item():
            raise NotImplementedError("it is random: export the model in eval mode")
        return node.operands[:1]

    def _convert_shape(self, node: Node) -> list[Operand]:
        shape = [dim.dim_value for dim in node.operands[0].type.tensor_type.shape.dim]
        return [Operand(array=np.array(shape[node["start"] : node["end"]], "int64"))]

    def _convert_size(self, node: Node) -> list[Operand]:
        shape = [dim.dim_value for dim in node.operands[0].type.tensor_type.shape.dim]
        return [Operand(array=np.array(np.prod(shape, dtype="int64")))]

    def _convert_if(self, node: Node) -> list[Operand | None]:
        branch = node["then_branch" if node.known(0, "branches").item() else "else_branch"]
        self.run(branch)
        return [self.read(item.name) for item in branch.output]


def _is_computable(node: Node) -> bool:
    return (
        node.kind not in ONNX_QUANTIZE
        and not node.kind.startswith(_RANDOM)
        and all(operand is None or operand.is_known for operand in node.operands)
    )
