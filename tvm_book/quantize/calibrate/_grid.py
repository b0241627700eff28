"""Grids of the ``simulated_quantize`` operators: listing, choosing and setting them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from tvm import IRModule, relax
from tvm.ir import GenericConst

from .. import ops
from .._graph import Graph, Rebuilder, op_name, to_numpy
from ..config import QConfig
from ._observe import observe

__all__ = ["Calibrate", "Grid", "SetGrids", "choose_grids", "list_grids", "simulated"]

SIMULATED = "relax.qnn.simulated_quantize"


class Grid(NamedTuple):
    """The values ``scale * k`` with whole ``low <= k <= high``.

    Parameters
    ----------
    kind : str
        ``"input"``, ``"weight"`` or ``"activation"``.
    scale, low, high : numpy.float32
    source : str
        Operator that makes the rounded tensor; ``"const"`` or ``"input"`` if none does.
    shape : tuple of int
        Of that tensor.
    """

    kind: str
    scale: np.float32
    low: np.float32
    high: np.float32
    source: str = ""
    shape: tuple[int, ...] = ()

    @property
    def threshold(self) -> float:
        """The magnitude that the grid was made for, one step beyond `high`."""
        return float(self.scale) * (float(self.high) + 1)


def simulated(graph: Graph) -> list[relax.Call]:
    """``simulated_quantize`` calls in visiting order, which is the order of every list of grids."""
    calls = (graph.bindings[var] for var in graph.post_order())
    return [call for call in calls if op_name(call) == SIMULATED]


def list_grids(mod: IRModule) -> list[Grid]:
    """List the grids of a calibrated module, in visiting order.

    Parameters
    ----------
    mod : IRModule
        As it is after `SetGrids`, or the result of a quantization with ``do_simulation``.

    Returns
    -------
    list of Grid
    """
    graph = Graph(mod["main"])
    return [_grid_of(graph, call) for call in simulated(graph) if len(call.args) == 4]


def _grid_of(graph: Graph, call: relax.Call) -> Grid:
    scale, low, high = (to_numpy(number)[()] for number in call.args[1:])
    return Grid(str(call.attrs["kind"]), scale, low, high, *_describe(graph, call))


def _describe(graph: Graph, call: relax.Call) -> tuple[str, tuple[int, ...]]:
    x = graph.value(call.args[0])
    source = "const" if isinstance(x, GenericConst) else op_name(x).removeprefix("relax.")
    return source or "input", tuple(int(extent) for extent in call.args[0].ty.shape)


def _power_of_two_above(magnitude: float) -> float:
    return 2.0 ** math.ceil(math.log2(magnitude))


WEIGHT_SCALES = {"power2": _power_of_two_above, "max": float}


def make_grid(kind: str, magnitude: float, config: QConfig) -> Grid:
    """Return the symmetric grid of ``kind`` that ends at ``magnitude``.

    A tensor of zeros (magnitude 0, or so small that float32 cannot divide by the step) lies on any
    grid; it gets the one that ends at 1.

    Examples
    --------
    >>> grid = make_grid("input", 8.0, QConfig())
    >>> float(grid.scale), float(grid.low), float(grid.high)
    (0.0625, -127.0, 127.0)
    """
    steps = 1 << (config.get_nbit_by_kind(kind) - 1)
    scale = np.float32(magnitude / steps)
    if scale < np.finfo(np.float32).tiny:
        scale = np.float32(1 / steps)
    return Grid(kind, scale, np.float32(1 - steps), np.float32(steps - 1))


def choose_grids(mod: IRModule, config: QConfig, dataset: Sequence[dict] | None) -> list[Grid]:
    """Choose a grid for every ``simulated_quantize`` of an annotated module.

    Parameters
    ----------
    mod : IRModule
    config : QConfig
    dataset : sequence of dict, optional
        Checked batches; needed unless ``calibrate_mode`` is ``"global_scale"``.

    Returns
    -------
    list of Grid
    """
    graph = Graph(mod["main"])
    calls = simulated(graph)
    watched = [call for call in calls if call.attrs["kind"] != "weight"]
    magnitudes = iter(observe(mod, graph, watched, config, dataset))
    grids = []
    for call in calls:
        kind = str(call.attrs["kind"])
        if kind == "weight":
            largest = float(np.abs(to_numpy(call.args[0])).max(initial=0.0))
            if not math.isfinite(largest):
                shape = _describe(graph, call)[1]
                raise ValueError(f"a constant of main, of shape {shape}, has a NaN or infinity")
            magnitude = WEIGHT_SCALES[config.weight_scale](largest) if largest else 0.0
        else:
            magnitude = next(magnitudes)
        grid = make_grid(kind, magnitude, config)
        source, shape = _describe(graph, call)
        grids.append(grid._replace(source=source, shape=shape))
    return grids


class SetGrids(Rebuilder):
    """Write grids, in visiting order, into the ``simulated_quantize`` operators."""

    pass_name = "QuantizeCalibrate"

    def __init__(self, mod: IRModule, grids: Sequence[Grid]):
        super().__init__(mod)
        count = len(simulated(self.graph))
        if count != len(grids):
            raise ValueError(f"main rounds {count} tensors but {len(grids)} grids were given")
        self._grids = iter(grids)

    def visit(self, var: relax.Var, expr: relax.Expr) -> Any:
        """Write the next grid."""
        if op_name(expr) != SIMULATED:
            return self.copy(expr)
        grid = next(self._grids)
        numbers = [relax.const(np.float32(x)) for x in (grid.scale, grid.low, grid.high)]
        x = self[expr.args[0]]
        return self.builder.emit(ops.simulated_quantize(x, *numbers, kind=grid.kind))


class Calibrate(SetGrids):
    """The pass: choose the grids and write them."""

    def __init__(self, mod: IRModule, config: QConfig, dataset: Sequence[dict] | None):
        super().__init__(mod, choose_grids(mod, config, dataset))
