"""`observe`: calibrate shards of the data, in processes of their own if need be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tvm
from tvm import IRModule

from .._signature import bind_params, signature
from ._dataset import check_dataset
from ._graph import Graph
from ._passes import annotate_passes
from .calibrate import Statistics
from .calibrate._algorithms import algorithm_of
from .calibrate._collect import activations, observe_pass
from .calibrate._fingerprint import fingerprint
from .calibrate._modes import calibration_modes, looks_at_data
from .config import QConfig, current_qconfig

__all__ = ["observe"]


def observe(
    mod: IRModule,
    params: Mapping[str, Any] | None = None,
    dataset: Iterable[Mapping[str, Any]] | None = None,
    config: QConfig | None = None,
    after: Statistics | None = None,
    batches: int | None = None,
) -> Statistics:
    """Look once at calibration data, or at a shard of it, as `quantize` would.

    The results of several shards are merged by `Statistics.merge`, and given to `quantize` as
    ``statistics=``. An algorithm that needs two passes (``"kl_divergence"``) wants to see every
    shard again ``after`` the merged first pass.

    Parameters
    ----------
    mod, params, config
        As `quantize` takes them, under the same `tvm.transform.PassContext`.
    dataset : iterable of mappings from input name to array
        The shard: a list, a torch ``DataLoader``, a generator. Batches are not kept.
    after : Statistics, optional
        The merged result of the pass before.
    batches : int, optional
        The number of batches of all shards together, which ``"percentile"`` has to know. By default
        that of ``dataset``.

    Returns
    -------
    Statistics

    Raises
    ------
    TypeError, ValueError
        As `quantize` does; if the ``calibrate_mode`` looks at no data, or nothing more; or if
        ``after`` is of another model or configuration.

    Examples
    --------
    >>> import numpy as np
    >>> from tvm import relax
    >>> x = relax.Var("x", relax.TensorType((1, 2), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     y = builder.emit(relax.op.matmul(x, relax.const(np.eye(2, dtype="float32"))))
    ...     _ = builder.emit_func_output(y)
    >>> shards = [[{"x": np.array([[k, -1]], "float32")}] for k in (2, 3)]
    >>> config = QConfig(skip_dense_layer=False, calibrate_mode="kl_divergence")
    >>> first, second = (observe(builder.get(), None, shard, config) for shard in shards)
    >>> ranges = first.merge(second)
    >>> ranges.complete
    False
    >>> first, second = (observe(builder.get(), None, shard, config, ranges) for shard in shards)
    >>> first.merge(second).complete
    True
    """
    config = current_qconfig() if config is None else config
    if not isinstance(config, QConfig):
        raise TypeError(f"config is a {type(config).__name__}; make one with qconfig(...)")
    mode = looks_at_data(config)
    if mode is None:
        raise ValueError(
            f"calibrate_mode={config.calibrate_mode!r} looks at no data: call quantize without "
            "statistics, or choose another calibrate_mode"
        )
    mod = bind_params(mod, params)
    data = check_dataset(dataset, signature(mod)[0], mode)
    annotated = tvm.transform.Sequential(annotate_passes(config), name="Annotate")(mod)
    graph = Graph(annotated["main"])
    calls, modes = activations(graph), calibration_modes(graph, config)
    algorithms = [algorithm_of(each) for each in modes]
    if after is None:
        needs_count = any(algorithm.needs_count for algorithm in algorithms)
        if needs_count and batches is None:
            data = data.repeatable()
            batches = data.count()
        number = batches if needs_count else None
        after = Statistics(calls, config, fingerprint(graph), number, modes)
    elif after.passes_done >= max((algorithm.passes for algorithm in algorithms), default=1):
        raise ValueError(
            f"{after.name} has seen the data as often as it needs: merge it with the other shards, "
            "and call quantize(..., statistics=...)"
        )
    else:
        after.check(graph, config)
    return observe_pass(annotated, graph, calls, config, data, after)
