"""What `quantize` would round: each tensor's grid, and the values seen there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tvm
from tvm import IRModule, relax

from .._signature import bind_params, signature
from ._dataset import Batches, check_dataset
from ._evaluate import Evaluator
from ._graph import Graph, to_numpy
from ._passes import annotate_passes
from .calibrate import Grid, choose_grids
from .calibrate._grid import simulated
from .config import QConfig, current_qconfig

__all__ = ["RoundedTensor", "rounded_tensors"]


class RoundedTensor(NamedTuple):
    """What `rounded_tensors` says of a tensor."""

    grid: Grid
    values: np.ndarray


def rounded_tensors(
    mod: IRModule,
    params: Mapping[str, Any] | None = None,
    dataset: Iterable[Mapping[str, Any]] | None = None,
    config: QConfig | None = None,
) -> list[RoundedTensor]:
    """Show the tensors that `quantize` rounds, with the same arguments, before it rounds them.

    All values are held in memory: it is meant for looking at small datasets.

    Parameters
    ----------
    mod, params, config
        As `quantize` takes them.
    dataset : iterable of mappings from input name to array
        The batches whose activations are shown, and used for calibration where the
        ``calibrate_mode`` asks for it.

    Returns
    -------
    list of RoundedTensor
        In visiting order; empty if nothing is quantized. Each is a named tuple of ``grid``, the
        `tvm_book.quantize.calibrate.Grid` that ``config`` leads to, and ``values``, an array of
        float32 and shape (n,): the weights, or the activations of all batches one after the other.

    Raises
    ------
    TypeError, ValueError
        As `quantize` does; and if there is no dataset, whatever the ``calibrate_mode``.

    Examples
    --------
    >>> from tvm import relax
    >>> x = relax.Var("x", relax.TensorType((1, 2), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     y = builder.emit(relax.op.matmul(x, relax.const(np.eye(2, dtype="float32"))))
    ...     _ = builder.emit_func_output(y)
    >>> batches = [{"x": np.array([[5, -1]], "float32")}, {"x": np.array([[0, 3]], "float32")}]
    >>> config = QConfig(skip_dense_layer=False, calibrate_mode="percentile")
    >>> for grid, values in rounded_tensors(builder.get(), dataset=batches, config=config):
    ...     print(grid.kind, grid.threshold, values)
    input 5.0 [ 5. -1.  0.  3.]
    weight 1.0 [1. 0. 0. 1.]
    """
    config = current_qconfig() if config is None else config
    if not isinstance(config, QConfig):
        raise TypeError(f"config is a {type(config).__name__}; make one with qconfig(...)")
    if dataset is None:
        raise ValueError("pass dataset=[{name: array}, ...]: the batches whose values to show")
    mod = bind_params(mod, params)
    annotated = tvm.transform.Sequential(annotate_passes(config), name="Annotate")(mod)
    graph = Graph(annotated["main"])
    batches = check_dataset(dataset, signature(mod)[0], config.calibrate_mode).repeatable()
    calls = simulated(graph)
    watched = [call for call in calls if call.attrs["kind"] != "weight"]
    seen = iter(_activations(annotated, watched, batches))
    return [
        RoundedTensor(grid, _flat(call.args[0]) if grid.kind == "weight" else next(seen))
        for grid, call in zip(choose_grids(annotated, config, batches), calls, strict=True)
    ]


def _activations(mod: IRModule, calls: Sequence[relax.Call], batches: Batches) -> list[np.ndarray]:
    evaluator = Evaluator(Graph(mod["main"]), [call.args[0] for call in calls], mod)
    parts = [[value.reshape(-1) for value in evaluator(batch)] for batch in batches]
    return [np.concatenate(tensors) for tensors in zip(*parts, strict=True)]


def _flat(constant: relax.Expr) -> np.ndarray:
    return to_numpy(constant).reshape(-1)
