"""The nodes and values of an ONNX graph, as the converters see them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator
from tvm import relax

_STANDARD = ("", "ai.onnx")


class Operand:
    """A value in the graph: an expression, and the array behind it if that is known.

    Parameters
    ----------
    expr : tvm.relax.Expr, optional
        Left out for a known array, of which a constant is made when one is needed.
    array : numpy.ndarray, optional
        What the value is known to be when the model is imported.
    is_weight : bool
        Whether the array is a tensor of the model that becomes a parameter, `expr`.
    source : Node, optional
        What computes the value.
    position : int
        Which of the results of `source` it is.

    Attributes
    ----------
    is_stored : bool
        Whether the value is a tensor of the model, or made of nothing else.
    """

    def __init__(
        self,
        expr: relax.Expr | None = None,
        array: np.ndarray | None = None,
        is_weight: bool = False,
        source: Node | None = None,
        position: int = 0,
    ):
        self._expr = expr
        self.array = array
        self.is_weight = is_weight
        self.source = source
        self.position = position
        sources = [] if source is None else [x for x in source.operands if x is not None]
        made = bool(sources) and all(operand.is_stored for operand in sources)
        self.is_stored = array is not None or made

    @property
    def is_known(self) -> bool:
        """Whether operators on the value are computed at import, as they are for shapes."""
        return self.array is not None and not self.is_weight

    @property
    def expr(self) -> relax.Expr:
        """The value in Relax."""
        if self._expr is None:
            self._expr = relax.const(self.array, str(self.array.dtype))
        return self._expr

    @cached_property
    def type(self) -> onnx.TypeProto:
        """The element type and the static shape, for ONNX's own inference."""
        if self.array is not None:
            dtype, shape = self.array.dtype, self.array.shape
        else:
            dtype = np.dtype(str(self.expr.ty.dtype))
            shape = [int(size) for size in self.expr.ty.shape]
        return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(dtype), shape)


@dataclass(frozen=True)
class Node:
    """One call of an operator.

    Attributes
    ----------
    proto : onnx.NodeProto
    operands : list of Operand or None
        None stands for an optional one that was left out.
    opset : int
        Of the standard operators.
    """

    proto: onnx.NodeProto
    operands: list[Operand | None]
    opset: int

    @property
    def kind(self) -> str:
        """The name of the operator, such as "Conv", with its domain if it is no standard one."""
        domain = self.proto.domain
        return self.proto.op_type if domain in _STANDARD else f"{domain}.{self.proto.op_type}"

    @property
    def place(self) -> str:
        """Where the node is, for an error."""
        if self.proto.name:
            return f" (node {self.proto.name!r})"
        return f" (the node that makes {next(filter(None, self.proto.output), '')!r})"

    @property
    def schema(self) -> onnx.defs.OpSchema | None:
        """What ONNX itself says about the operator; None for operators of others."""
        domain = "" if self.proto.domain in _STANDARD else self.proto.domain
        if not onnx.defs.has(self.proto.op_type, domain):
            return None
        return onnx.defs.get_schema(self.proto.op_type, self.opset, domain)

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """All attributes, with the defaults of the schema; strings are decoded."""
        schema = self.schema
        found = {} if schema is None else {a: v.default_value for a, v in schema.attributes.items()}
        found = {a: default for a, default in found.items() if default.type}
        found.update((attribute.name, attribute) for attribute in self.proto.attribute)
        return {name: _decoded(helper.get_attribute_value(a)) for name, a in found.items()}

    def __getitem__(self, attribute: str) -> Any:
        """Return an attribute, None if it is not set and has no default."""
        return self.attributes.get(attribute)

    @property
    def count(self) -> int:
        """The number of results."""
        return len(self.proto.output)

    def has(self, index: int) -> bool:
        """Whether an operand is given."""
        return index < len(self.operands) and self.operands[index] is not None

    def known(self, index: int, what: str) -> np.ndarray:
        """Return an operand that has to be known at import."""
        operand = self.operands[index]
        if operand is None or not operand.is_stored:
            raise NotImplementedError(f"its {what} depend on values that only the run knows")
        if operand.array is not None:
            return operand.array
        return operand.source.compute()[operand.position]

    def axes(self, index: int) -> list[int] | None:
        """Return ``axes``, which newer opsets pass as an operand; None if they are left out."""
        if self["axes"] is not None:
            return list(self["axes"])
        return self.known(index, "axes").ravel().tolist() if self.has(index) else None

    def compute(self) -> list[np.ndarray]:
        """Run the node, whose operands are all known, with ONNX's reference implementation."""
        names = [name for name in self.proto.input if name]
        positions = [position for position, name in enumerate(self.proto.input) if name]
        arrays = [self.known(position, "operands") for position in positions]
        empty = onnx.TypeProto()
        graph = helper.make_graph(
            [self.proto],
            "known",
            [helper.make_value_info(name, empty) for name in names],
            [helper.make_value_info(name, empty) for name in self.proto.output if name],
        )
        run = ReferenceEvaluator(graph, opsets={"": self.opset, self.proto.domain: self.opset}).run
        with np.errstate(all="ignore"):
            results = iter(run(None, dict(zip(names, arrays, strict=True))))
        return [np.asarray(next(results)) if name else None for name in self.proto.output]


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value
