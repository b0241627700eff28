"""One walk through a function: what calls a kernel, what stays an operator of Relax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tvm import relax
from tvm.ir import GenericConst

from ...quantize._graph import Graph, map_operands, module_path, op_name
from ..isa import Isa
from ..kernels._kernel import Array, Kernel, chunks
from ..kernels._pointwise import pointwise
from ..kernels._transpose import transposed
from ..kernels._view import View, dense
from . import _moves
from ._anchors import ANCHORS
from ._entry import collapse, reading_axis, spare, writing_axis
from ._finish import Finish
from ._fuse import Group, fuse, shape_of
from ._kernels import Kernels
from ._layout import MULTIPLE, SMALL, allocate
from ._plan import KernelCall, Value
from ._program import Program
from ._wants import Wants

__all__ = ["Lowering"]


@dataclass
class Lowering:
    """The state of one walk through `main`."""

    graph: Graph
    isa: Isa
    threads: int
    kernels: Kernels
    calls: list[KernelCall]
    builder: relax.BlockBuilder = field(default_factory=relax.BlockBuilder)
    values: dict[relax.Var, Value] = field(default_factory=dict)
    _plain: dict[relax.Var, relax.Expr] = field(default_factory=dict)

    def run(self) -> None:
        """Emit the bindings of the new function."""
        order = self.graph.post_order()
        anchors = {
            var
            for var in order
            if op_name(self.graph.bindings[var]) in ANCHORS
            and ANCHORS[op_name(self.graph.bindings[var])].accepts(self, var)
        }
        groups = fuse(self.graph, order, anchors)
        self.wants = Wants(self.graph, order, groups)
        by_result = {group.result: group for group in groups}
        inside = {var for group in groups for var in group.members} - set(by_result)
        for var in order:
            if var in by_result:
                if var in self.wants.needed:
                    self.group(by_result[var])
            elif var not in inside and var in self.wants.needed:
                self.single(var)

    def bind(self, old: relax.Var, new: relax.Expr) -> None:
        """Say what stands for a variable, as operators of Relax take it."""
        if isinstance(old.ty, relax.TensorType):
            self.values[old] = Value(new, dense(shape_of(old), str(old.ty.dtype)))
        else:
            self._plain[old] = new

    def value(self, expr: relax.Expr) -> Value:
        """Return the array that holds a tensor."""
        if isinstance(expr, GenericConst):
            return Value(expr, dense(shape_of(expr), str(expr.ty.dtype)))
        return self.values[expr]

    def group(self, group: Group) -> None:
        """Emit the kernel of a group."""
        plan = None
        anchor = group.anchor
        if anchor is not None:
            plan = ANCHORS[op_name(self.graph.bindings[anchor])].plan(self, group)
            if plan.swallowed is not None:
                anchor = plan.swallowed
        program = Program(self.graph, group.members, anchor, group.result, self.isa.lanes)
        axis = plan.axis if plan and plan.axis is not None else self.wants.axis(self, program)
        view = self.result_view(group.result, axis, plan is not None)
        if plan is None:
            write = writing_axis(view, axis)
            axis = reading_axis(self._leaf_views(program), write)
        leaves = [(key, *self.leaf(leaf, program, axis)) for key, leaf in program.leaves.items()]
        inputs = list(plan.inputs) if plan else []
        count = len(inputs)
        inputs += [(expr, leaf_view) for _, expr, leaf_view in leaves]
        turn = plan is None and axis != write
        target = view
        if turn and not any(map(sum, view.halo)):
            (target, *views), place = collapse([view, *(v for _, v in inputs)], (axis, write))
            inputs = [(expr, v) for (expr, _), v in zip(inputs, views, strict=True)]
            axis, write = place[axis], place[write]

        def body(kernel: Kernel, arrays: list[Array], results: list[Array]) -> None:
            named = {key: array for (key, _, _), array in zip(leaves, arrays[count:], strict=True)}
            finish = Finish(program, named, results[0], axis)
            if turn:

                def evaluate(index, lanes):
                    return program.value(named, index, axis, lanes, None)

                room = spare([array.view for array in named.values()], axis)
                transposed(kernel, results[0], axis, write, evaluate, room)
            elif plan is None:
                pointwise(kernel, view, axis, finish)
            else:
                plan.body(kernel, arrays[:count], finish)

        first = group.anchor if group.anchor is not None else group.result
        name = plan.name if plan else op_name(self.graph.bindings[group.result])
        dtype = plan.dtype if plan and plan.dtype else str(group.result.ty.dtype)
        out = self.call(name, inputs, target, body, group.result)
        self.values[group.result] = Value(out, view)
        names = [op_name(self.graph.bindings[first])] + sorted(
            op_name(self.graph.bindings[var]) for var in group.members if var != first
        )
        self.calls[-1] = KernelCall(
            self.calls[-1].function,
            module_path(first) or module_path(group.result),
            tuple(n.removeprefix("relax.") for n in names),
            view.shape,
            dtype,
            plan.operations if plan else 0,
        )

    def _leaf_views(self, program: Program) -> list[View]:
        """Return how the tensors that a program reads lie."""
        shape = shape_of(program.result)
        leaves = [leaf for leaf in program.leaves.values() if leaf.constant is None]
        return [self.value(leaf.expr).view.broadcast(shape) for leaf in leaves]

    def leaf(self, leaf: Any, program: Program, axis: int) -> tuple[relax.Expr, View]:
        """Return the array of an operand of a program, seen in the shape of the result."""
        shape = shape_of(program.result)
        if leaf.constant is not None:
            array, view = leaf.lay_out(shape, axis, MULTIPLE, program.paired)
            return relax.const(array, str(array.dtype)), view
        value = self.value(leaf.expr)
        seen = value.view.broadcast(shape)
        if seen.strides and seen.strides[axis] not in (0, 1) and shape[axis] > 1:
            own = axis - len(shape) + len(value.view.shape)
            value = self.copy(value, allocate(value.view.shape, value.view.dtype, own))
            seen = value.view.broadcast(shape)
        return value.expr, seen

    def result_view(self, var: relax.Var, axis: int, fixed: bool = False) -> View:
        """Choose where a result is written.

        Where an anchor has `fixed` the vector axis, a reader of plain arrays gets a copy: that
        costs less than writing with a stride.
        """
        shape, dtype = shape_of(var), str(var.ty.dtype)
        if self.wants.plain(var):
            view = dense(shape, dtype)
            if not fixed or not shape or view.strides[axis] == 1 or shape[axis] == 1:
                return view
            return allocate(shape, dtype, axis)
        halo, fill = self.wants.halo(var)
        small = len(shape) == 4 and axis == 1 and shape[1] <= SMALL
        multiple = SMALL if small and self.wants.only_convolutions(var) else MULTIPLE
        order = self.wants.order(var, axis)
        moved = [[seq[a] for a in order] for seq in (shape, halo)]
        view = allocate(moved[0], dtype, len(shape) - 1, moved[1], fill, multiple)
        return view.permute([order.index(a) for a in range(len(shape))])

    def call(
        self,
        name: str,
        inputs: Sequence[tuple[relax.Expr, View]],
        view: View,
        body: Callable[[Kernel, list[Array], list[Array]], None],
        hint: relax.Var | None = None,
    ) -> relax.Var:
        """Build a kernel of one result, or find an equal one, and emit its call."""
        return self.call_many(name, inputs, [view], body, hint)[0]

    def call_many(
        self,
        name: str,
        inputs: Sequence[tuple[relax.Expr, View]],
        views: Sequence[View],
        body: Callable[[Kernel, list[Array], list[Array]], None],
        hint: relax.Var | None = None,
    ) -> list[relax.Var]:
        """Build a kernel of some results, or find an equal one, and emit its call."""
        kernel = Kernel(self.isa, self.threads)
        function = kernel.build(
            "kernel",
            [v for _, v in inputs],
            views,
            lambda arrays, results: body(kernel, arrays, results),
        )
        function = self.kernels.add(name.removeprefix("relax.").replace(".", "_"), function)
        types = [relax.TensorType(view.extent, view.stored) for view in views]
        operands = [expr for expr, _ in inputs]
        call = relax.op.call_dps_packed(function, operands, types if len(types) > 1 else types[0])
        label = hint.name if hint is not None else "copy"
        self.calls.append(KernelCall(function, "", (name,), views[0].shape, views[0].dtype, 0))
        made = self.builder.emit(call, label)
        if len(views) == 1:
            return [made]
        return [self.builder.emit(relax.TupleGetItem(made, i), label) for i in range(len(views))]

    def copy(self, value: Value, view: View) -> Value:
        """Copy a tensor into an array of another layout."""
        source, target = value.view, view
        write = writing_axis(view)
        read = reading_axis([source], write)
        if read != write and not any(map(sum, view.halo)):
            (source, target), place = collapse([source, target], (read, write))
            read, write = place[read], place[write]

        def body(kernel: Kernel, arrays: list[Array], results: list[Array]) -> None:
            def finish(index, lanes, _read):
                for begin, width in chunks(lanes, MULTIPLE):
                    at = [i + begin if a == write else i for a, i in enumerate(index)]
                    loaded = arrays[0].load(at, write, width)
                    results[0].store(at, loaded, write, width)
                if lanes != kernel.isa.lanes:
                    results[0].clear([i + lanes if a == write else i for a, i in enumerate(index)])
                else:
                    results[0].clear_behind(index, write, lanes)

            if read == write:
                pointwise(kernel, view, write, finish, exact=True)
                return

            def evaluate(index, lanes):
                return arrays[0].load(index, read, lanes)

            transposed(kernel, results[0], read, write, evaluate, spare([source], read))

        return Value(self.call("copy", [(value.expr, source)], target, body), view)

    def plain(self, expr: relax.Expr) -> relax.Expr:
        """Return a tensor as operators of Relax take it."""
        if not isinstance(expr, relax.Var):
            return expr
        if expr not in self._plain and expr not in self.values:
            call = map_operands(self.graph.bindings[expr], self.plain)
            self._plain[expr] = self.builder.emit(call, expr.name)
        if expr not in self._plain:
            value = self.values[expr]
            if value.view.in_order:
                value = Value(relax.op.reshape(value.expr, value.view.shape), value.view)
                value = Value(self.builder.emit(value.expr, expr.name), value.view)
            elif not value.view.plain:
                value = self.copy(value, dense(value.view.shape, value.view.dtype))
            self._plain[expr] = value.expr
        return self._plain[expr]

    def single(self, var: relax.Var) -> None:
        """Emit an operator that is in no group: a change of the view, or as it is."""
        call = self.graph.bindings[var]
        if _moves.is_split(call):
            return  # until something reads more than its parts
        moved = _moves.move(self, var, call)
        if moved is not None:
            self.values[var] = moved
            return
        new = self.builder.emit(map_operands(call, self.plain), var.name)
        if isinstance(var.ty, relax.TensorType):
            self.values[var] = Value(new, dense(shape_of(var), str(var.ty.dtype)))
        else:
            self._plain[var] = new
