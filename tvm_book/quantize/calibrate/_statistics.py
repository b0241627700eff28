"""What calibration has seen so far: one statistic a tensor, to be merged and finished."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tvm import relax

from .._graph import Graph
from ..config import QConfig
from ._algorithms import algorithm_of
from ._fingerprint import fingerprint
from ._progress import track

__all__ = ["Statistics"]

# What the algorithms read of a configuration.
_FIELDS = (
    "calibrate_mode",
    "calibrate_layers",
    "scheme",
    "nbit_input",
    "nbit_activation",
    "symmetric_input",
    "global_scale",
    "percentile",
)


class Statistics:
    """What `observe` saw of the tensors that a model rounds; to be merged, and to quantize with.

    It can be pickled, so shards of the data can be observed in processes of their own. Its size
    does not grow with the data, beyond a few bytes a sample.

    Attributes
    ----------
    passes_done : int
        How often the data was seen.
    name : str
        Of the algorithm, or of those that are used.

    Examples
    --------
    >>> import numpy as np
    >>> from tvm import relax
    >>> from tvm_book import quantize
    >>> x = relax.Var("x", relax.TensorType((2, 2), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     y = builder.emit(relax.op.matmul(x, relax.const(np.eye(2, dtype="float32"))))
    ...     _ = builder.emit_func_output(y)
    >>> config = quantize.QConfig(preset="accurate", calibrate_mode="minmax")
    >>> shards = [[{"x": np.full((2, 2), value, "float32")}] for value in (-3, 5)]
    >>> first, second = (
    ...     quantize.observe(builder.get(), dataset=shard, config=config) for shard in shards
    ... )
    >>> first.merge(second).limits()
    [(-3.0, 5.0)]
    """

    def __init__(
        self,
        calls: Sequence[relax.Call],
        config: QConfig,
        model: str = "",
        batches: int | None = None,
        modes: Sequence[str | type] | None = None,
    ):
        """Start without having seen anything.

        Parameters
        ----------
        calls : sequence of tvm.relax.Call
            The ``simulated_quantize`` of an annotated graph that are not of weights, in visiting
            order.
        config : QConfig
        model : str
            The `fingerprint` of the graph.
        batches : int, optional
            How many there will be, if an algorithm has to know.
        modes : sequence of str or type, optional
            The algorithm of each call; by default ``config.calibrate_mode`` for all.
        """
        modes = [config.calibrate_mode] * len(calls) if modes is None else modes
        self.name = ", ".join(map(_label, dict.fromkeys(modes))) or _label(config.calibrate_mode)
        self._passes = max((algorithm_of(mode).passes for mode in modes), default=0)
        self._config = {name: getattr(config, name) for name in _FIELDS}
        self._model = model
        self._expected, self._seen = batches, 0
        self._watchers = [
            algorithm_of(mode)(
                config,
                str(call.attrs["kind"]),
                None if batches is None else batches * math.prod(map(int, call.args[0].ty.shape)),
            )
            for call, mode in zip(calls, modes, strict=True)
        ]
        self.passes_done = 0

    @property
    def complete(self) -> bool:
        """Whether every pass is done, over all of the data where its amount was given."""
        seen_all = self.passes_done == self._passes and self._expected in (None, self._seen)
        return seen_all or not self._watchers

    def next_pass(self) -> Statistics:
        """Return a copy that another look at the data may change.

        Raises
        ------
        ValueError
            If the pass before has not seen all of the data whose amount was given.
        """
        if self.passes_done and self._expected not in (None, self._seen):
            raise ValueError(self._what_is_missing())
        new = copy.deepcopy(self)
        new._seen = 0
        return new

    def update(self, index: int, values: Any) -> None:
        """Show a batch of values to the statistic of one tensor."""
        if self.passes_done < self._watchers[index].passes:
            self._watchers[index].update(values, self.passes_done)

    def end_batch(self) -> None:
        """Note that every tensor of a batch was shown."""
        self._seen += 1
        self._check_amount()

    def end_pass(self) -> None:
        """Note that all of the data, or of a shard, was shown."""
        self.passes_done += 1

    def merge(self, *others: Statistics) -> Statistics:
        """Return what is known from this shard of the data followed by others.

        Parameters
        ----------
        *others : Statistics
            Of the same model, configuration and pass.

        Returns
        -------
        Statistics
            The same, to the last bit, as if one call had seen all of the data in this order.

        Raises
        ------
        TypeError, ValueError
            If they do not belong together.
        """
        merged = copy.deepcopy(self)
        for other in others:
            if not isinstance(other, Statistics):
                raise TypeError(
                    f"cannot merge a {type(other).__name__}; give what observe returned"
                )
            merged._check_belongs(other._config, other._model)
            if other.passes_done != self.passes_done:
                raise ValueError(
                    f"one shard has seen the data {self.passes_done} times, another "
                    f"{other.passes_done} times; merge the shards after each pass"
                )
            if other._expected != self._expected:
                raise ValueError(
                    f"one shard is of {self._expected} batches, another of {other._expected}; give "
                    "observe the number of batches of all shards together as batches="
                )
            merged._seen += other._seen
            for mine, theirs in zip(merged._watchers, other._watchers, strict=True):
                if self.passes_done <= mine.passes:  # others had seen all of the data before
                    mine.merge(theirs)
        merged._check_amount()
        return merged

    def limits(self) -> list[tuple[float, float]]:
        """Return the range of each tensor, in visiting order of the ``simulated_quantize``.

        Returns
        -------
        list of (low, high)
            ``low <= 0 <= high``; weights are not among them.

        Raises
        ------
        ValueError
            If the statistics are not complete.
        """
        if not self.complete:
            raise ValueError(self._what_is_missing())
        watchers = track(self._watchers, f"search ({self.name})", len(self._watchers))
        return [watcher.limits() for watcher in watchers]

    def limit(self, index: int) -> tuple[float, float]:
        """Return the range of one tensor, as `limits` does of all."""
        if not self.complete:
            raise ValueError(self._what_is_missing())
        return self._watchers[index].limits()

    def check(self, graph: Graph, config: QConfig) -> None:
        """Refuse an annotated graph or a configuration that these are not of."""
        self._check_belongs({name: getattr(config, name) for name in _FIELDS}, fingerprint(graph))

    def _check_belongs(self, config: Mapping[str, Any], model: str) -> None:
        for name, mine in self._config.items():
            if config[name] != mine:
                raise ValueError(
                    f"these statistics were observed with {name}={mine!r}, not {config[name]!r}; "
                    "observe the data again, or use the same configuration"
                )
        if model != self._model:
            raise ValueError(
                "these statistics are of another model, of other weights, or prepared in another "
                "way; observe the data again with this model, configuration and opt_level"
            )

    def _check_amount(self) -> None:
        if self._expected is not None and self._seen > self._expected:
            raise ValueError(
                f"{self.name} was told of {self._expected} batches but has seen {self._seen}; "
                "give observe the number of batches of all shards together as batches="
            )

    def _what_is_missing(self) -> str:
        if self.passes_done < self._passes and self._expected in (None, self._seen):
            return (
                f"{self.name} wants to see the data {self._passes} times and has seen it "
                f"{self.passes_done} times; call observe(..., after=statistics)"
            )
        return (
            f"{self.name} was told of {self._expected} batches and has seen {self._seen}; merge "
            "the other shards"
        )


def _label(mode: Any) -> str:
    return mode if isinstance(mode, str) else mode.__name__
