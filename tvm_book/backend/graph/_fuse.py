"""Which operators become one kernel: an anchor with all that follows on the same elements."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tvm import relax, tirx

from ...quantize._graph import Graph, op_name
from ..kernels._elementwise import is_elementwise
from ._program import tensor_operands

# Anchors whose loads may widen what they read.
WIDENING = ("relax.sum", "relax.mean", "relax.max", "relax.min", "relax.nn.global_avg_pool2d")

__all__ = ["Group", "fuse", "shape_of"]


@dataclass
class Group:
    """Operators that one kernel computes.

    Attributes
    ----------
    anchor : relax.Var or None
        The operator with loops of its own; None if all act on each element alone.
    members : set of relax.Var
        All operators, the anchor among them.
    result : relax.Var
        The last one, which the kernel writes.
    """

    anchor: relax.Var | None
    result: relax.Var
    members: set[relax.Var] = field(default_factory=set)
    _states: list[tuple[relax.Var, frozenset[relax.Var]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.extend(self.result)

    def extend(self, result: relax.Var) -> None:
        """Let the group end at another operator, which is among its members."""
        self.result = result
        self._states.append((result, frozenset(self.members)))

    def narrowest(self) -> int:
        """Bytes of an element at the operator whose result is narrowest."""
        return min(_width(var) for var, _ in self._states)

    def cut(self) -> set[relax.Var]:
        """End the group at its narrowest result, and return the members behind that."""
        least = self.narrowest()
        last = max(i for i, (var, _) in enumerate(self._states) if _width(var) == least)
        rest = self.members - self._states[last][1]
        self.result, self.members = self._states[last][0], set(self._states[last][1])
        return rest


def shape_of(expr: relax.Expr) -> tuple[int, ...]:
    """Return the static shape of a tensor."""
    return tuple(int(n) for n in expr.ty.shape)


def is_static(kind: Any) -> bool:
    """Whether the shapes of a tensor type, or of all tensors of a tuple type, are known."""
    if isinstance(kind, relax.TupleType):
        return all(is_static(part) for part in kind.fields)
    if not isinstance(kind, relax.TensorType):
        return True  # a shape, say: no kernel sees it
    shape = kind.shape
    return shape is not None and all(isinstance(n, tirx.IntImm) for n in shape)


def fuse(graph: Graph, order: list[relax.Var], anchors: Collection[relax.Var]) -> list[Group]:
    """Form groups; variables in none of them are lowered one by one.

    A value that several operators read ends its group, for it must be written anyway. A cast is
    the exception: each reader makes its own, since that is cheaper than writing a wide type.
    """
    uses = graph.use_counts()
    owner: dict[relax.Var, Group] = {}
    copied: set[relax.Var] = set()
    widened = _widened(graph, anchors)
    for var in order:
        call = graph.bindings[var]
        if var in anchors:
            owner[var] = Group(var, var, {var, *_copies(graph, call.args[:1], widened)})
        elif is_elementwise(call) and 0 not in (shape_of(var) or (0,)):
            _absorb(graph, var, owner, copied, uses, widened)
    groups = {id(group): group for var, group in owner.items() if group.result.same_as(var)}
    return list(groups.values())


def _widened(graph: Graph, anchors: Iterable[relax.Var]) -> set[relax.Var]:
    """Casts to a wider type that the loads of a reduction make."""
    found = set()
    for var in anchors:
        call = graph.bindings[var]
        source = call.args[0] if op_name(call) in WIDENING else None
        cast = graph.bindings.get(source) if isinstance(source, relax.Var) else None
        if cast is not None and _widens(cast) and isinstance(cast.args[0], relax.Var):
            found.add(source)
    return found


def _widens(call: relax.Expr) -> bool:
    """Whether an operator is a cast to a wider type."""
    return op_name(call) == "relax.astype" and _width(call.args[0]) < _width(call)


def _width(expr: relax.Expr) -> int:
    """Bytes of an element."""
    return np.dtype(str(expr.ty.dtype)).itemsize


def _absorb(graph, var, owner, copied, uses, widened) -> None:
    call = graph.bindings[var]
    operands = [arg for arg in tensor_operands(call) if isinstance(arg, relax.Var)]
    if operands and _widens(call) and (uses[var] > 1 or var in widened):
        copied.add(var)
        owner[var] = Group(None, var, {var, *_copies(graph, operands, copied)})
        return
    ends = [
        owner[arg]
        for arg in operands
        if arg in owner
        and owner[arg].result.same_as(arg)
        and uses[arg] == 1
        and shape_of(arg) == shape_of(var)
    ]
    anchored = [group for group in ends if group.anchor is not None]
    # Of several anchors one goes on here. The others are written where they are narrowest.
    group = max(anchored, key=Group.narrowest, default=None) or Group(None, var)
    for other in ends:
        if other.anchor is None:
            group.members |= other.members
        elif other is not group:
            group.members |= other.cut()
    group.members |= {var, *_copies(graph, operands, copied)}
    group.extend(var)
    owner[var] = group


def _copies(graph: Graph, operands, copied) -> set[relax.Var]:
    """Casts that a reader makes for itself, and the casts that those read."""
    found = set()
    for arg in operands:
        if arg in copied:
            inner = [a for a in tensor_operands(graph.bindings[arg]) if isinstance(a, relax.Var)]
            found |= {arg, *_copies(graph, inner, copied)}
    return found
