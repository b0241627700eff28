"""What the readers of a tensor want of its array."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tvm import relax

from ...quantize._graph import Graph, op_name, operands
from ._fuse import Group, shape_of
from ._geometry import CONVOLUTIONS, padding
from ._matmul import zero_point_term
from ._moves import is_move, permutation, source_axes
from ._program import Program

__all__ = ["IMAGES", "Wants"]

# Operators on images, whose kernels take channels last.
IMAGES = (*CONVOLUTIONS, "relax.nn.max_pool2d", "relax.nn.avg_pool2d")
IMAGES += ("relax.nn.adaptive_avg_pool2d", "relax.nn.global_avg_pool2d", "relax.image.resize2d")
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
            if var not in self.needed or (group is None and var in self.inside):
                continue
            for source in self._sources(var, group):
                self.readers[source].append(var)
                self.needed.add(source)
        self._halos = self._find_halos(order)

    def _sources(self, var: relax.Var, group: Group | None) -> list[relax.Var]:
        """Return what a group or a single operator reads."""
        members = {var} if group is None else group.members
        found: list[relax.Var] = []
        # What the product computes along is not read.
        _, spared, _ = self._zero_point_term(group) or (None, None, None)
        for member in members - {spared}:
            for expr in operands(self.graph.bindings[member]):
                if expr == spared:
                    continue
                if isinstance(expr, relax.Var) and expr not in members and expr not in found:
                    found.append(expr)
        return found

    def _zero_point_term(self, group: Group | None) -> Any:
        anchor = group.anchor if group is not None else None
        if anchor is None or op_name(self.graph.bindings[anchor]) != "relax.matmul":
            return None
        return zero_point_term(self.graph, group)

    def _final_readers(self, var: relax.Var) -> list[Any]:
        """Readers, through operators that only change the view."""
        found: list[Any] = []
        for reader in self.readers[var]:
            if self._moves(reader):
                found += self._final_readers(reader)
            else:
                found.append(reader)
        return found

    def _moves(self, reader: Any) -> bool:
        return reader is not OUTPUT and is_move(self.graph, reader)

    def plain(self, var: relax.Var) -> bool:
        """Whether nobody but Relax operators and the caller read a result."""
        readers = self._final_readers(var)
        return all(r is OUTPUT or r not in self.by_result for r in readers)

    def image_axis(self, var: relax.Var) -> int | None:
        """Return the axis of channels, if a kernel on images reads a result."""
        for reader in self.readers[var]:
            if not self._moves(reader):
                name = self._anchor_name(reader)
                axis = self.image_axis(reader) if name == "relax.concat" else None
                if name in IMAGES or axis is not None:
                    return 1 if axis is None else axis
                continue
            axis, axes = self.image_axis(reader), source_axes(self.graph, reader)
            if axis is not None:
                # A slice of channels is of the axis of channels, too.
                found = axis if axes is None or axes[axis] is None else axes[axis]
                if len(shape_of(var)) > found:
                    return found
        return None

    def only_convolutions(self, var: relax.Var) -> bool:
        """Whether convolutions alone read a result."""
        names = {self._anchor_name(reader) for reader in self._final_readers(var)}
        return names <= set(CONVOLUTIONS)

    def _anchor_name(self, reader: Any) -> str:
        group = None if reader is OUTPUT else self.by_result.get(reader)
        if group is None or group.anchor is None:
            return ""
        return op_name(self.graph.bindings[group.anchor])

    def axis(self, walk: Any, program: Program) -> int:
        """Choose the vector axis of a group without an anchor of its own opinion."""
        shape = shape_of(program.result)
        channels = self.image_axis(program.result) if len(shape) > 2 else None
        if channels is not None:
            return channels
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
            elif var in halos and is_move(self.graph, var):
                self._through(halos, var)
            elif name in CONVOLUTIONS and var in self.inside:
                pairs = padding(call)
                if any(pair != (0, 0) for pair in pairs):
                    self._widen(halos, call.args[0], pairs, 0.0)
        return halos

    def _through(self, halos: dict, var: relax.Var) -> None:
        """Ask the operand of a move for the room that the result wants, if it goes through."""
        axes = source_axes(self.graph, var)
        pairs, fill = halos[var]
        if axes is None:
            return
        wanted = [(0, 0)] * len(axes)
        for axis, pair in zip(axes, pairs, strict=True):
            if axis is None and any(pair):
                return
            if axis is not None:
                wanted[axis] = pair
        source = next(iter(operands(self.graph.bindings[var])))
        if isinstance(source, relax.Var) and isinstance(source.ty, relax.TupleType):
            source = self.graph.bindings[source].args[0]
        self._widen(halos, source, wanted, fill)

    def order(self, var: relax.Var, axis: int) -> list[int]:
        """Return how the axes of a result should follow each other in memory, `axis` last.

        If all that reads it is a ``permute_dims``, then as that wants them.
        """
        rank = len(shape_of(var))
        readers = self.readers[var]
        if len(readers) == 1 and self._moves(readers[0]):
            call = self.graph.bindings[readers[0]]
            if op_name(call) == "relax.permute_dims" and permutation(call)[-1] == axis:
                return permutation(call)
        return [a for a in range(rank) if a != axis] + [axis] * (rank > 0)

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
