"""Ranges of tensors and weights that are looked for once, however often a model is quantized."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from tvm import IRModule, relax

from ._dataset import Batches
from ._graph import Graph
from .calibrate import Statistics
from .calibrate._algorithms import algorithm_of
from .calibrate._collect import activations, observe_pass
from .calibrate._fingerprint import value_keys
from .calibrate._modes import calibration_modes
from .calibrate._ranges import weight_magnitudes
from .config import QConfig

__all__ = ["KnownRanges"]

Range = tuple[float, float]


class KnownRanges:
    """Remembers what calibration finds, for configurations that differ in ``skip`` and algorithms.

    Parameters
    ----------
    dataset : Batches
        To calibrate on; gone through again whenever a tensor is new.
    modes : sequence of str
        Algorithms that may be asked for; each tensor is observed for all of them together.
    """

    def __init__(self, dataset: Batches, modes: Sequence[str]):
        self._dataset, self._modes = dataset, list(modes)
        self._limits: dict[tuple[str, str, str | type], Callable[[], Range]] = {}
        self._magnitudes: dict[tuple[bytes, int | None], np.ndarray] = {}

    def of(self, annotated: IRModule, config: QConfig) -> list[Range]:
        """Return the range of each rounded activation, in visiting order."""
        graph = Graph(annotated["main"])
        keys, calls = value_keys(graph), activations(graph)
        modes = calibration_modes(graph, config)
        tensors = [(keys[call.args[0]], str(call.attrs["kind"])) for call in calls]
        wanted = list(zip(tensors, modes, strict=True))
        unseen = {
            tensor: call
            for (tensor, mode), call in zip(wanted, calls, strict=True)
            if (*tensor, mode) not in self._limits
        }
        if unseen:
            self._observe(annotated, graph, unseen, config, modes)
        return [self._limits[(*tensor, mode)]() for tensor, mode in wanted]

    def of_weight(self, weight: np.ndarray, axis: int | None, config: QConfig) -> np.ndarray:
        """Return what `weight_magnitudes` does."""
        content = hashlib.blake2b(weight.tobytes(), digest_size=16)
        content.update(str(weight.shape).encode())
        key = content.digest(), axis
        if key not in self._magnitudes:
            self._magnitudes[key] = weight_magnitudes(weight, axis, config)
        return self._magnitudes[key]

    def _observe(
        self,
        mod: IRModule,
        graph: Graph,
        calls: Mapping[tuple[str, str], relax.Call],
        config: QConfig,
        modes: Sequence[str | type],
    ) -> None:
        """Look at the data, once for all algorithms."""
        modes = list(dict.fromkeys([*self._modes, *modes]))
        pairs = [(tensor, mode) for tensor in calls for mode in modes]
        algorithms = [algorithm_of(mode) for mode in modes]
        passes = max(each.passes for each in algorithms)
        count = self._dataset.count() if any(each.needs_count for each in algorithms) else None
        watched = [calls[tensor] for tensor, _ in pairs]
        seen = Statistics(watched, config, batches=count, modes=[mode for _, mode in pairs])
        for _ in range(passes):
            # without a bar of its own: the one of the search is shown
            seen = observe_pass(mod, graph, watched, config, self._dataset, seen, patience=math.inf)
        for index, (tensor, mode) in enumerate(pairs):
            self._limits[(*tensor, mode)] = _once(seen, index)


def _once(statistics: Statistics, index: int) -> Callable[[], Range]:
    """Search for a range when it is asked for first: some algorithms take long."""
    return functools.cache(lambda: statistics.limit(index))
