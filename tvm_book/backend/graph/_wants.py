"""What the readers of a tensor want of its array."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tvm import relax

from ...quantize._graph import Graph, op_name, operands
from ._fuse import Group, shape_of
from ._moves import MOVES
from ._program import Program

__all__ = ["IMAGES", "Wants"]

# Operators on images, whose kernels take channels last.
IMAGES = ("relax.nn.conv2d", "relax.nn.max_pool2d", "relax.nn.avg_pool2d", "relax.nn.conv1d")
IMAGES += ("relax.nn.adaptive_avg_pool2d", "relax.nn.conv2d_transpose")
OUTPUT = "output"


class Wants:
    """Answers for one function, once its groups are formed."""

    def __init__(self, graph: Graph, order: list[relax.Var], groups: list[Group]) -> None:
        self.graph = graph
        self.by_result = {group.result: group for group in groups}
        self.inside = {v: group for group in groups for v in group.members}
        self.readers: dict[relax.Var, list[Any]] = defaultdict(list)
        for expr in operands(graph.output):
            if isinstance(expr, relax.Var):
                self.readers[expr].append(OUTPUT)
        self.needed = {expr for expr in operands(graph.output) if isinstance(expr, relax.Var)}
        for var in reversed(order):
            group = self.by_result.get(var)
            if group is None and var in self.inside:
                continue
            if group is not None and var not in self.needed:
                continue
            for source in self._sources(var, group):
                self.readers[source].append(var)
                self.needed.add(source)
        self._halos = self._find_halos(order)

    def _sources(self, var: relax.Var, group: Group | None) -> list[relax.Var]:
        """What a group or a single operator reads."""
        members = {var} if group is None else group.members
        found: list[relax.Var] = []
        for member in members:
            for expr in operands(self.graph.bindings[member]):
                if isinstance(expr, relax.Var) and expr not in members and expr not in found:
                    found.append(expr)
        return found

    def _final_readers(self, var: relax.Var) -> list[Any]:
        """Readers, through operators that only change the view."""
        found: list[Any] = []
        for reader in self.readers[var]:
            moves = reader is not OUTPUT and op_name(self.graph.bindings[reader]) in MOVES
            if moves and reader not in self.by_result:
                found += self._final_readers(reader)
            else:
                found.append(reader)
        return found

    def plain(self, var: relax.Var) -> bool:
        """Whether nobody but Relax operators and the caller read a result."""
        readers = self._final_readers(var)
        return all(r is OUTPUT or r not in self.by_result for r in readers)

    def images(self, var: relax.Var) -> bool:
        """Whether a kernel on images reads a result."""
        return any(self._anchor_name(r) in IMAGES for r in self._final_readers(var))

    def only_convolutions(self, var: relax.Var) -> bool:
        """Whether convolutions alone read a result."""
        names = {self._anchor_name(reader) for reader in self._final_readers(var)}
        return names == {"relax.nn.conv2d"}

    def _anchor_name(self, reader: Any) -> str:
        group = None if reader is OUTPUT else self.by_result.get(reader)
        if group is None or group.anchor is None:
            return ""
        return op_name(self.graph.bindings[group.anchor])

    def axis(self, walk: Any, program: Program) -> int:
        """Choose the vector axis of a group without an anchor of its own opinion."""
        shape = shape_of(program.result)
        if len(shape) == 4 and self.images(program.result):
            return 1
        for leaf in program.leaves.values():
            if leaf.constant is None and shape_of(leaf.expr) == shape:
                axis = walk.value(leaf.expr).view.vector_axis()
                if axis is not None:
                    return axis
        return max(len(shape) - 1, 0)

    def halo(self, var: relax.Var) -> tuple[list[tuple[int, int]], float]:
        """Room around a result that its readers want, and what they want in it."""
        rank = len(shape_of(var))
        return self._halos.get(var, ([(0, 0)] * rank, 0))

    def _find_halos(self, order: list[relax.Var]) -> dict:
        halos: dict[relax.Var, tuple[list[tuple[int, int]], float]] = {}
        for var in reversed(order):
            call = self.graph.bindings[var]
            name = op_name(call)
            if name == "relax.nn.pad" and str(call.attrs.pad_mode) == "constant":
                widths = [int(w) for w in call.attrs.pad_width]
                pairs = list(zip(widths[::2], widths[1::2], strict=True))
                inner, fill = halos.get(var, (None, None))
                value = float(call.attrs.pad_value)
                if inner is not None and fill == value:
                    pairs = [(b + d, a + c) for (b, a), (d, c) in zip(pairs, inner, strict=True)]
                self._widen(halos, call.args[0], pairs, value)
            elif name == "relax.nn.conv2d" and var in self.inside:
                top, left, bottom, right = (int(p) for p in call.attrs.padding)
                if top or left or bottom or right:
                    pairs = [(0, 0), (0, 0), (top, bottom), (left, right)]
                    self._widen(halos, call.args[0], pairs, 0.0)
        return halos

    @staticmethod
    def _widen(halos, source, pairs, fill) -> None:
        if not isinstance(source, relax.Var):
            return
        if source not in halos:
            halos[source] = (pairs, fill)
            return
        old, kept = halos[source]
        if kept == fill:
            wide = [(max(b, d), max(a, c)) for (b, a), (d, c) in zip(old, pairs, strict=True)]
            halos[source] = (wide, fill)
