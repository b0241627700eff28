"""What Relay printed for a quantized network, next to what this library makes of it."""

from __future__ import annotations

import difflib
import re
from typing import Any, NamedTuple

from tvm import IRModule, relax
from tvm.ir import GenericConst

from ..quantize._graph import Graph, op_name, operands, to_numpy

__all__ = ["side_by_side"]

_RELAX_NAMES = {
    "annotation.cast_hint": "",
    "annotation.stop_fusion": "",
    "cast": "astype",
    "concatenate": "concat",
    "nn.batch_matmul": "matmul",
    "nn.bias_add": "add",
    "nn.dense": "matmul",
    "round": "round_half_away",
    "transpose": "permute_dims",
}
_CALL = re.compile(r"\s*(?:%\d+ = )?([\w.]+)\((.*)\) : (\S+)")
_LIST = re.compile(r"\w+=\[[^]]*\]")
_TYPE = re.compile(r"/\*(.+)\*/")
_NUMBER = re.compile(r"(?:a_min=|a_max=)?(-?\d[\d.e+-]*)f?")
_DTYPE = re.compile(r'dtype="(\w+)"')


class _Line(NamedTuple):
    op: str  # as Relax calls it
    text: str
    type: str


def side_by_side(relay_ir: str, mod: IRModule) -> list[dict[str, Any]]:
    """Align a function that Relay printed with the ``main`` of a module, operator by operator.

    Each operator is shown with its constants and the type of its result, without the names of
    its operands.

    Parameters
    ----------
    relay_ir : str
        ``relay_ir`` of a recorded configuration, see `tvm_book.testing.golden.GoldenCase`.
    mod : IRModule

    Returns
    -------
    list of dict
        One row an operator, with the keys ``Relay``, ``Relax`` and ``type``; an operator that only
        one side has leaves the other None.

    Examples
    --------
    >>> relay_ir = '''fn (%x: float32[4]) -> float32[4] {
    ...   %0 = multiply(%x, 2f) : float32[4]
    ...   %1 = annotation.stop_fusion(%0) : float32[4]
    ...   nn.relu(%1) : float32[4]
    ... }'''
    >>> x = relax.Var("x", relax.TensorType((4,), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     y = builder.emit(relax.op.multiply(x, relax.const(2.0)))
    ...     _ = builder.emit_func_output(builder.emit(relax.op.nn.relu(y)))
    >>> for row in side_by_side(relay_ir, builder.get()):
    ...     print(row)
    {'Relay': 'multiply 2', 'Relax': 'multiply 2', 'type': 'float32[4]'}
    {'Relay': 'annotation.stop_fusion', 'Relax': None, 'type': 'float32[4]'}
    {'Relay': 'nn.relu', 'Relax': 'nn.relu', 'type': 'float32[4]'}
    """
    left, right = _relay_lines(relay_ir), _relax_lines(mod)
    keys = [[(line.op, line.type) for line in lines] for lines in (left, right)]
    rows = []
    matcher = difflib.SequenceMatcher(None, *keys, autojunk=False)
    for tag, a, a_end, b, b_end in matcher.get_opcodes():
        if tag == "equal":
            rows += map(_row, left[a:a_end], right[b:b_end])
        else:
            rows += [_row(line, None) for line in left[a:a_end]]
            rows += [_row(None, line) for line in right[b:b_end]]
    return rows


def _row(relay: _Line | None, relax: _Line | None) -> dict[str, Any]:
    return {
        "Relay": relay and relay.text,
        "Relax": relax and relax.text,
        "type": (relay or relax).type,
    }


def _relay_lines(text: str) -> list[_Line]:
    lines = []
    for match in filter(None, map(_CALL.match, text.splitlines())):
        name, arguments, ty = match.groups()
        shown = filter(None, map(_relay_constant, _LIST.sub("", arguments).split(", ")))
        lines.append(_Line(_RELAX_NAMES.get(name, name), " ".join([name, *shown]), ty))
    return lines


def _relay_constant(argument: str) -> str | None:
    """Return an operand's type, a number, or what a cast casts to; other arguments say little."""
    match = _TYPE.search(argument) or _NUMBER.fullmatch(argument) or _DTYPE.fullmatch(argument)
    return match and match.group(1)


def _relax_lines(mod: IRModule) -> list[_Line]:
    graph = Graph(mod["main"])
    lines = []
    for expr in map(graph.bindings.__getitem__, graph.post_order()):
        name = op_name(expr).removeprefix("relax.")
        if name:
            lines.append(_Line(name, " ".join([name, *_relax_constants(expr)]), _type(expr.ty)))
    return lines


def _relax_constants(expr: relax.Call) -> list[str]:
    shown = []
    for leaf in operands(expr):
        if isinstance(leaf, GenericConst):
            value = to_numpy(leaf)
            shown.append(f"{value[()]:g}" if value.ndim == 0 else _type(leaf.ty))
    if op_name(expr) == "relax.clip":
        shown += [f"{float(bound.value):g}" for bound in expr.args[1:]]
    if op_name(expr) == "relax.astype":
        shown.append(str(expr.ty.dtype))
    return shown


def _type(ty: relax.TensorType) -> str:
    return f"{ty.dtype}[{','.join(str(int(extent)) for extent in ty.shape)}]"
