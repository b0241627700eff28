"""`sensitivity`: what quantizing each layer alone costs at the output of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Any

import tvm
from tvm import IRModule

from ._metric import metric_of
from ._passes import annotate_passes
from ._sensitivity_result import LayerCost, Sensitivity
from ._subject import check_subject
from .bias_correction import first_batches
from .calibrate import Calibrate
from .calibrate._modes import looks_at_data
from .calibrate._progress import track
from .config import QConfig

__all__ = ["LayerCost", "Sensitivity", "sensitivity"]


def sensitivity(
    mod: IRModule,
    params: Mapping[str, Any] | None = None,
    dataset: Iterable[Mapping[str, Any]] | None = None,
    config: QConfig | None = None,
    *,
    metric: str | Callable[..., Any] = "sqnr_db",
    evaluation: Iterable[Mapping[str, Any]] | None = None,
) -> Sensitivity:
    """Measure the error at the output that quantizing each layer alone makes.

    A layer is an operator that reads rounded tensors, as in `layer_errors`. What it reads is
    rounded, its weight compensated and its bias corrected as ``config`` says, all for itself;
    everything else is in float. That takes one run of the model, and for each layer one of what
    comes behind it.

    Parameters
    ----------
    mod, params, config
        As `quantize` takes them.
    dataset : iterable of mappings from input name to array
        To calibrate on.
    metric : str or callable (float_output, output) -> float, optional
        A further number to show: a name of `tvm_book.testing.metric`, or a function of which more
        is better.
    evaluation : iterable of mappings from input name to array, optional
        To measure on; by default ``dataset``.

    Returns
    -------
    Sensitivity
        Sorted by ``sqnr_db``, the smallest first.

    Raises
    ------
    TypeError, ValueError
        As `quantize` does; if ``main`` returns a tuple or brings its own grids, or if the metric is
        unknown or returns no number.

    Examples
    --------
    The first layer has weights that differ much, and one scale for all of them:

    >>> import numpy as np
    >>> from tvm import relax
    >>> from tvm_book import quantize
    >>> x = relax.Var("x", relax.TensorType((8, 4), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     scales = relax.const(np.diag([1.0, 1.0, 1.0, 500.0]).astype("float32"))
    ...     y = builder.emit(relax.op.tanh(builder.emit(relax.op.matmul(x, scales))))
    ...     z = builder.emit(relax.op.matmul(y, relax.const(np.ones((4, 4), "float32"))))
    ...     _ = builder.emit_func_output(z)
    >>> config = quantize.QConfig(skip_dense_layer=False, calibrate_mode="minmax")
    >>> data = [{"x": np.random.default_rng(0).standard_normal((8, 4)).astype("float32")}]
    >>> found = sensitivity(builder.get(), None, data, config)
    >>> [layer.selector for layer in found]
    ['relax.matmul@0', 'relax.matmul@1']
    """
    from ._alone import Alone
    from ._layer_costs import layer_costs

    subject = check_subject("sensitivity", mod, params, dataset, evaluation, config)
    measure, config = metric_of(metric), subject.config
    annotated = tvm.transform.Sequential(annotate_passes(config), name="Annotate")(subject.mod)
    calibrated = Calibrate.as_pass(config, subject.dataset)(annotated)
    looked_at = first_batches(subject.dataset) if looks_at_data(config) else ()
    alone = Alone(calibrated, config, looked_at)
    if not alone.layers:
        return Sensitivity((), measure.name, 0)
    length = subject.evaluation.length()
    with closing(track(subject.evaluation, "sensitivity", length)) as batches:
        costs, samples = layer_costs(alone, batches, measure)
    return Sensitivity(tuple(sorted(costs, key=lambda cost: cost.sqnr_db)), measure.name, samples)
