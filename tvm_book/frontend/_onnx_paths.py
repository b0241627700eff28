"""Tell which module of the model each ONNX node belongs to."""

from __future__ import annotations

import ast

import onnx

from ._onnx_node import Node

# How the current exporter of torch notes the modules around an operator.
_SCOPES = "pkg.torch.onnx.name_scopes"
_FOLLOWS_ITS_INPUT = ("QuantizeLinear", "DequantizeLinear")


class Paths:
    """Finds the module of a node: by its weight, else by what the exporter noted, else by its name.

    The weight comes first, since exporters fold a batch norm into the convolution before it, and
    then note the batch norm.
    """

    def __init__(self):
        self._owners: dict[str, str] = {}  # of tensors of the model, and of what is made of them
        self._made_by: dict[str, str] = {}

    def add_weight(self, name: str) -> None:
        """Note a tensor of the model by its name, such as ``layer1.0.conv1.weight``."""
        made_up = "::" in name or "/" in name
        self._owners[name] = "" if made_up else name.rpartition(".")[0]

    def visit(self, node: Node) -> str:
        """Return the path of a node's module, "" for the model itself."""
        sources = [(name, x) for name, x in zip(node.proto.input, node.operands, strict=True) if x]
        owner = next((self._owners[name] for name, _ in sources if self._owners.get(name)), "")
        path = owner
        if not path and node.proto.op_type in _FOLLOWS_ITS_INPUT:
            path = self._made_by.get(sources[0][0], "")
        elif not path:
            path = _noted(node.proto)
        stored = owner and all(operand.is_stored for _, operand in sources)
        for name in node.proto.output:
            self._made_by[name] = path
            if stored:
                self._owners[name] = owner
        return path


def _noted(node: onnx.NodeProto) -> str:
    for item in node.metadata_props:
        if item.key == _SCOPES:
            scopes = ast.literal_eval(item.value)  # the model, modules, the operator
            return scopes[-2] if len(scopes) > 1 else ""
    if "/" not in node.name:
        return node.name
    path: list[str] = []
    for part in node.name.strip("/").split("/")[:-1]:  # the last part is the operator
        # the older exporter of torch writes /layer1/layer1.0/conv1/Conv
        if path and part.startswith(path[-1] + "."):
            path.pop()
        path.append(part)
    return ".".join(path)
