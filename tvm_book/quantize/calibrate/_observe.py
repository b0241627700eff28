"""Run the float model over the calibration data and show tensors to the algorithms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import tvm
from tvm import IRModule, relax

from ..._lowering import LOWERING
from .._graph import Graph, Rebuilder, op_name
from ..config import QConfig
from .kl_divergence import KLDivergence
from .percentile import Percentile

__all__ = ["ALGORITHMS", "Algorithm", "observe"]


class Algorithm(Protocol):
    """Sees one tensor, batch by batch, ``passes`` times over, and chooses its magnitude."""

    passes: int

    def __init__(self, count: int):
        """Start; ``count`` values will be shown in each pass."""

    def update(self, values: np.ndarray, pass_number: int) -> None:
        """Take in one batch, flattened, float32."""

    def magnitude(self) -> float:
        """Return the largest absolute value that the grid should hold."""


ALGORITHMS: dict[str, type[Algorithm]] = {
    "kl_divergence": KLDivergence,
    "percentile": Percentile,
}


class _Expose(Rebuilder):
    """Return the tensors that ``calls`` would round, computed without any rounding."""

    def __init__(self, mod: IRModule, calls: Sequence[relax.Call]):
        super().__init__(mod)
        self.graph.output = relax.Tuple([call.args[0] for call in calls])

    def visit(self, var: relax.Var, expr: relax.Expr) -> Any:
        """Let markers vanish."""
        if op_name(expr).startswith(("relax.annotation.", "relax.qnn.")):
            return self[expr.args[0]]
        return self.copy(expr)


def observe(
    mod: IRModule,
    graph: Graph,
    calls: Sequence[relax.Call],
    config: QConfig,
    dataset: Sequence[dict[str, np.ndarray]] | None,
) -> Iterator[float]:
    """Yield the magnitude of each tensor in ``calls``, in order."""
    if config.calibrate_mode == "global_scale":
        yield from (config.global_scale for _ in calls)
        return
    chunk = config.calibrate_chunk_by if config.calibrate_chunk_by > 0 else max(len(calls), 1)
    for start in range(0, len(calls), chunk):
        part = calls[start : start + chunk]
        watchers = [
            ALGORITHMS[config.calibrate_mode](_size(call.args[0]) * len(dataset)) for call in part
        ]
        run = _compile(_Expose(mod, part).run())
        for number in range(ALGORITHMS[config.calibrate_mode].passes):
            for batch in dataset:
                inputs = [tvm.runtime.tensor(batch[param.name]) for param in graph.params]
                for watcher, tensor in zip(watchers, run(*inputs), strict=True):
                    watcher.update(_finite(tensor.numpy().reshape(-1)), number)
        yield from (watcher.magnitude() for watcher in watchers)


def _size(expr: relax.Expr) -> int:
    return int(np.prod([int(extent) for extent in expr.ty.shape], dtype=np.int64))


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError(
            "the float model computes a NaN or infinity from the calibration data; check its "
            "weights, and that the data is scaled as in training"
        )
    return values


def _compile(mod: IRModule):
    with LOWERING:
        executable = tvm.compile(mod, "llvm")
    return relax.VirtualMachine(executable, tvm.cpu())["main"]
