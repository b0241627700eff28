"""Grids of the ``simulated_quantize`` operators: listing, choosing and setting them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from tvm import IRModule, relax
from tvm.ir import GenericConst

from .. import ops
from .._graph import Graph, Rebuilder, module_path, op_name, operands, to_numpy
from ..config import QConfig
from ._collect import collect
from ._modes import SIMULATED
from ._ranges import make_grid, weight_magnitudes
from ._statistics import Statistics

__all__ = ["Calibrate", "Grid", "SetGrids", "choose_grids", "list_grids", "simulated"]


class Grid(NamedTuple):
    """The values ``scale * k`` with whole ``low <= k <= high``.

    Parameters
    ----------
    kind : str
        ``"input"``, ``"symmetric"``, ``"weight"``, ``"activation"`` or ``"table"``.
    scale : numpy.float32, or numpy.ndarray of float32
        An array for a weight with one scale an output channel; it broadcasts to the weight.
    low, high : numpy.float32
    source : str
        Operator that makes the rounded tensor; ``"const"`` or ``"input"`` if none does.
    shape : tuple of int
        Of that tensor.
    path : str
        Module of the source model that makes the tensor, or reads it where none does; ``""`` if it
        is not known.
    """

    kind: str
    scale: np.float32 | np.ndarray
    low: np.float32
    high: np.float32
    source: str = ""
    shape: tuple[int, ...] = ()
    path: str = ""

    @property
    def threshold(self) -> float:
        """The largest magnitude that the grid was made for, one step beyond `high`."""
        steps = max(float(self.high), -float(self.low)) + 1
        return float(np.max(self.scale)) * steps


def simulated(graph: Graph) -> list[relax.Call]:
    """``simulated_quantize`` calls in visiting order, which is the order of every list of grids."""
    return [graph.bindings[var] for var in _simulated_vars(graph)]


def _simulated_vars(graph: Graph) -> list[relax.Var]:
    return [var for var in graph.post_order() if op_name(graph.bindings[var]) == SIMULATED]


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
    described = zip(simulated(graph), _descriptions(graph), strict=True)
    return [_grid_of(call, about) for call, about in described if len(call.args) == 4]


def _grid_of(call: relax.Call, about: tuple[str, tuple[int, ...], str]) -> Grid:
    scale, low, high = (to_numpy(number)[()] for number in call.args[1:])
    return Grid(str(call.attrs["kind"]), scale, low, high, *about)


def _descriptions(graph: Graph) -> list[tuple[str, tuple[int, ...], str]]:
    """Source, shape and module path of each rounded tensor."""
    readers: dict[relax.Var, relax.Var] = {}
    for var in graph.post_order():
        for leaf in operands(graph.bindings[var]):
            if isinstance(leaf, relax.Var):
                readers.setdefault(leaf, var)
    described = []
    for var in _simulated_vars(graph):
        x = graph.bindings[var].args[0]
        made = graph.value(x)
        source = "const" if isinstance(made, GenericConst) else op_name(made).removeprefix("relax.")
        path = module_path(x) if source else ""
        path = path if source and source != "const" else module_path(readers.get(var, var))
        shape = tuple(int(extent) for extent in x.ty.shape)
        described.append((source or "input", shape, path))
    return described


def choose_grids(
    mod: IRModule,
    config: QConfig,
    dataset: Sequence[dict] | None = None,
    limits: Sequence[tuple[float, float]] | None = None,
    weigh: Callable[[np.ndarray, int | None, QConfig], np.ndarray] = weight_magnitudes,
) -> list[Grid]:
    """Choose a grid for every ``simulated_quantize`` of an annotated module.

    Parameters
    ----------
    mod : IRModule
    config : QConfig
    dataset : sequence of dict, optional
        Checked batches; needed unless ``calibrate_mode`` is ``"global_scale"``.
    limits : sequence of (float, float), optional
        The range of each tensor that is no weight, in visiting order, instead of a dataset.
    weigh : callable, optional
        Like `weight_magnitudes`: one that remembers, perhaps.

    Returns
    -------
    list of Grid

    Raises
    ------
    ValueError
        If a weight holds a NaN or infinity.
    """
    if limits is None:
        limits = collect(mod, config, dataset).limits()
    graph, limits, grids = Graph(mod["main"]), iter(limits), []
    for call, about in zip(simulated(graph), _descriptions(graph), strict=True):
        kind = str(call.attrs["kind"])
        if kind == "weight":
            axis = int(call.attrs["axis"]) if "axis" in call.attrs.keys() else None
            magnitude = weigh(to_numpy(call.args[0]), axis, config)
            low, high = -magnitude, magnitude
        else:
            low, high = next(limits)
        grids.append(Grid(kind, *make_grid(kind, low, high, config), *about))
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
        numbers = [
            relax.const(np.asarray(x, np.float32)) for x in (grid.scale, grid.low, grid.high)
        ]
        attrs = {key: expr.attrs[key] for key in expr.attrs.keys()}
        x = self[expr.args[0]]
        return self.builder.emit(ops.simulated_quantize(x, *numbers, **attrs))


class Calibrate(SetGrids):
    """The pass: choose the grids and write them; ``keep`` is told which."""

    def __init__(
        self,
        mod: IRModule,
        config: QConfig,
        dataset: Iterable[dict] | None = None,
        statistics: Statistics | None = None,
        keep: Callable[[list[Grid]], None] | None = None,
    ):
        limits = collect(mod, config, dataset, statistics).limits()
        grids = choose_grids(mod, config, limits=limits)
        if keep is not None:
            keep(grids)
        super().__init__(mod, grids)
