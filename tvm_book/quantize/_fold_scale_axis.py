"""Fold multiplications by one factor per channel into the weights around them.

The two halves of Relay's ``FoldScaleAxis`` (``src/relay/transforms/fold_scale_axis.cc``), for
constant factors: backward into the layer that made the value, forward into those that read it.
A plan is made first (what each binding becomes), then ``main`` is rebuilt from it.
"""

from __future__ import annotations

import numpy as np
from tvm import IRModule, relax
from tvm.ir import GenericConst

from ._graph import Graph, Rebuilder, op_name, operands, to_numpy

__all__ = ["BackwardFoldScaleAxis", "ForwardFoldScaleAxis"]

CHANNEL = 1
# What factors must be for a value to let them scale its channels. None: it never does.
Conditions = frozenset[str]
NO_CONDITION: Conditions = frozenset()
NOT_NEGATIVE: Conditions = frozenset({"not negative"})
NOT_ZERO: Conditions = frozenset({"not zero"})


def _shape(expr: relax.Expr) -> list[int]:
    return [int(extent) for extent in expr.ty.shape]


def _per_channel(factor: relax.Expr, shape: list[int]) -> np.ndarray | None:
    """Return the constant as a vector over the channels of ``shape``, or None if it is not one."""
    if not isinstance(factor, GenericConst) or len(shape) <= CHANNEL:
        return None
    values = to_numpy(factor)
    expected = [1] * len(shape)
    expected[CHANNEL] = shape[CHANNEL]
    return values.reshape(-1) if list(values.shape) in (expected, expected[1:]) else None


def _factor(call: relax.Call) -> tuple[relax.Var, np.ndarray] | None:
    """(x, c) of ``multiply(x, c)`` in either order, c as a vector over the channels of x."""
    for x, c in (call.args, reversed(call.args)):
        if isinstance(x, relax.Var) and isinstance(c, GenericConst):
            shape = _shape(x)
            if not c.ty.shape and len(shape) > CHANNEL:
                return x, np.repeat(to_numpy(c), shape[CHANNEL])
            if (vector := _per_channel(c, shape)) is not None:
                return x, vector
    return None


def _layer_axes(call: relax.Expr) -> tuple[int, int] | None:
    """(output axis, input axis) of the channels in the weight of a layer that can be scaled."""
    name = op_name(call)
    if name not in ("relax.nn.conv2d", "relax.matmul"):
        return None
    if not isinstance(call.args[1], GenericConst):
        return None
    if name == "relax.nn.conv2d" and (
        (call.attrs.data_layout, call.attrs.kernel_layout) != ("NCHW", "OIHW")
    ):
        return None
    if name == "relax.matmul":
        return (1, 0) if all(len(arg.ty.shape) == 2 for arg in call.args) else None
    out_channels, in_channels, *_ = _shape(call.args[1])
    groups = int(call.attrs.groups)
    if groups == 1:
        return 0, 1
    return (0, 0) if groups == out_channels and in_channels == 1 else None


def _scaled_weight(call: relax.Call, scale: np.ndarray, axis: int) -> relax.Call:
    weight = to_numpy(call.args[1])
    shape = [1] * weight.ndim
    shape[axis] = -1
    return _with_constant(call, 1, weight * scale.reshape(shape))


def _with_constant(call: relax.Call, place: int, value: np.ndarray) -> relax.Call:
    args = list(call.args)
    args[place] = relax.const(value)
    return relax.Call(call.op, args, call.attrs)


def _added_vector(call: relax.Call) -> int | None:
    """Place of the constant in ``add(x, c)`` if it holds one value per channel."""
    for place in (1, 0):
        x, c = call.args[1 - place], call.args[place]
        if isinstance(x, relax.Var) and _per_channel(c, _shape(x)) is not None:
            return place
    return None


def _allows(conditions: Conditions | None, scale: np.ndarray) -> bool:
    if conditions is None or (NOT_NEGATIVE <= conditions and not (scale >= 0).all()):
        return False
    return not NOT_ZERO <= conditions or bool(scale.all())


class _Fold(Rebuilder):
    """Carries out a plan: variable -> another variable (an alias) or a new right-hand side."""

    def __init__(self, mod: IRModule):
        super().__init__(mod)
        self.plan = self.make_plan(self.graph)

    def make_plan(self, graph: Graph) -> dict[relax.Var, relax.Expr]:
        raise NotImplementedError

    def visit(self, var, expr):
        """Emit what the plan says."""
        new = self.plan.get(var, expr)
        return self[new] if isinstance(new, relax.Var) else self.copy(new)


class BackwardFoldScaleAxis(_Fold):
    """``multiply(layer(x, w), c)`` becomes ``layer(x, w * c)``, also through bias, relu and add."""

    def make_plan(self, graph: Graph) -> dict[relax.Var, relax.Expr]:
        """Send offers from layers to their readers, and accepted scales back to the layers."""
        order, uses = graph.post_order(), graph.use_counts()
        offers: dict[relax.Expr, Conditions] = {}
        for var in order:
            offer = _offer(graph.bindings[var], offers)
            if offer is not None and uses[var] == 1:
                offers[var] = offer
        plan: dict[relax.Var, relax.Expr] = {}
        scales: dict[relax.Expr, np.ndarray] = {}
        for var in reversed(order):
            call = graph.bindings[var]
            if var in scales:
                plan[var] = _take_scale(call, scales[var], offers, scales)
            elif op_name(call) == "relax.multiply" and (found := _factor(call)):
                x, scale = found
                if _allows(offers.get(x), scale):
                    plan[var], scales[x] = x, scale
        return plan


def _offer(call: relax.Expr, offers: dict) -> Conditions | None:
    name = op_name(call)
    if name == "relax.nn.relu":
        return offers[call.args[0]] | NOT_NEGATIVE if call.args[0] in offers else None
    if name == "relax.nn.bias_add":
        return offers.get(call.args[0]) if int(call.attrs["axis"]) == CHANNEL else None
    if name == "relax.add":
        if (place := _added_vector(call)) is not None:
            return offers.get(call.args[1 - place])
        both = [offers.get(arg) for arg in call.args]
        if None in both or _shape(call.args[0]) != _shape(call.args[1]):
            return None
        return both[0] | both[1]
    return NO_CONDITION if _layer_axes(call) else None


def _take_scale(call: relax.Call, scale: np.ndarray, offers: dict, scales: dict) -> relax.Call:
    """Rewrite a call that offered; hand the scale on to the operands that offered."""
    name = op_name(call)
    if axes := _layer_axes(call):
        return _scaled_weight(call, scale, axes[0])
    for arg in call.args:
        if arg in offers:
            scales[arg] = scale
    if name == "relax.nn.bias_add":
        return _with_constant(call, 1, to_numpy(call.args[1]) * scale)
    if name == "relax.add" and (place := _added_vector(call)) is not None:
        term = to_numpy(call.args[place])
        return _with_constant(call, place, term * scale.reshape(term.shape))
    return call


class ForwardFoldScaleAxis(_Fold):
    """``layer(multiply(x, c), w)`` becomes ``layer(x, w * c)``, also through relu and add."""

    def make_plan(self, graph: Graph) -> dict[relax.Var, relax.Expr]:
        """Send requests from layers to what they read, and granted scales on to the layers."""
        order = graph.post_order()
        requests: dict[relax.Expr, Conditions | None] = dict.fromkeys(operands(graph.output))
        for var in reversed(order):
            call = graph.bindings[var]
            for arg, request in _requests(call, requests.get(var)):
                previous = requests.get(arg, request)
                refused = previous is None or request is None
                requests[arg] = None if refused else previous | request
        plan: dict[relax.Var, relax.Expr] = {}
        scales: dict[relax.Expr, np.ndarray] = {}
        for var in order:
            call = graph.bindings[var]
            scaled = next((arg for arg in operands(call) if arg in scales), None)
            if scaled is not None:
                plan[var] = _grant_scale(call, var, scales[scaled], scales)
            elif op_name(call) == "relax.multiply" and (found := _factor(call)):
                x, scale = found
                if _allows(requests.get(var), scale):
                    plan[var], scales[var] = x, scale
        return plan


def _requests(
    call: relax.Expr, own: Conditions | None
) -> list[tuple[relax.Expr, Conditions | None]]:
    """Return what ``call``, itself asked for ``own``, asks of each operand."""
    name = op_name(call)
    if _layer_axes(call):
        return [(call.args[0], NO_CONDITION)]
    if own is not None and name == "relax.nn.relu":
        return [(call.args[0], own | NOT_NEGATIVE)]
    if own is not None and name == "relax.add" and (place := _added_vector(call)) is not None:
        return [(call.args[1 - place], own | NOT_ZERO)]  # the added term is divided
    return [(arg, None) for arg in operands(call)]


def _grant_scale(call: relax.Call, var: relax.Var, scale: np.ndarray, scales: dict) -> relax.Call:
    """Rewrite a call whose operand lost its factor; layers absorb it, others pass it on."""
    if axes := _layer_axes(call):
        return _scaled_weight(call, scale, axes[1])
    scales[var] = scale
    if op_name(call) == "relax.add":
        place = _added_vector(call)
        term = to_numpy(call.args[place])
        return _with_constant(call, place, term / scale.reshape(term.shape))
    return call
