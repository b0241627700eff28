"""`search`: which layers to leave in float, or to calibrate in another way."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

from tvm import IRModule

from ._metric import metric_of
from ._point import Point
from ._search_result import SearchResult
from ._subject import check_subject
from .calibrate import ALGORITHMS
from .calibrate._progress import track
from .config import QConfig

__all__ = ["Point", "SearchResult", "search"]


def search(
    mod: IRModule,
    params: Mapping[str, Any] | None = None,
    dataset: Iterable[Mapping[str, Any]] | None = None,
    *,
    metric: str | Callable[..., Any] = "cosine_similarity",
    max_drop: float = 0.001,
    budget: int = 40,
    config: QConfig | None = None,
    evaluation: Iterable[Mapping[str, Any]] | None = None,
    cost: Callable[[IRModule], Any] | None = None,
    calibrate: Sequence[str] = ("mse", "minmax", "percentile"),
    seconds: float | None = None,
    seed: int = 0,
    progress: bool | Callable[[Point], Any] = True,
) -> SearchResult:
    """Find out which layers have to stay in float, or be calibrated in another way.

    First the configuration as it is; if its accuracy is enough, that is all. Then other algorithms
    of calibration, for the layers to which they matter and for all: they cost no integers. Then
    the layers that make the largest errors at the output, as `sensitivity` finds them, stay in
    float: as few of them as are enough. At last those are quantized again that turned out not to be
    needed, by another algorithm if need be, or exchanged for smaller ones.

    Parameters
    ----------
    mod, params
        As `quantize` takes them.
    dataset : iterable of mappings from input name to array
        To calibrate on.
    metric : str or callable (float_output, output) -> float, optional
        A name of `tvm_book.testing.metric` (losses with the other sign), or a function of which
        more is better. It gets the outputs of all of ``evaluation``, joined along axis 0, and may
        compare the second one with labels.
    max_drop : float, optional
        By how much the metric may be less than that of the float model.
    budget : int, optional
        Quantizations to try at most.
    config : QConfig, optional
        Where to start; instead of the `current_qconfig`. What it leaves in float stays in float.
    evaluation : iterable of mappings from input name to array, optional
        To measure on, best other data than ``dataset``, which it is by default. Gone through for
        each trial, and the same each time: not shuffled.
    cost : callable (quantized module) -> float, optional
        Of which less is better, instead of the share of multiplications in integers: a measured
        latency, for example.
    calibrate : sequence of str, optional
        Algorithms to try, see ``QConfig.calibrate_mode``.
    seconds : float, optional
        No trial begins later; with it, equal arguments need not lead to equal trials.
    seed : int, optional
        Of the exchanges at the end.
    progress : bool or callable (Point) -> None, optional
        Whether to show a bar, on a terminal; a function is told each trial.

    Returns
    -------
    SearchResult
        After Ctrl-C what was found until then, ``interrupted``.

    Raises
    ------
    TypeError, ValueError
        As `sensitivity` does; if an option is wrong; if the data to measure on change; or if the
        metric of the float model itself is not finite, as that of ``"sqnr_db"``.

    Examples
    --------
    Per tensor and by its largest weight, the second layer has no step left for its small weights.
    The third one reads tanh, which hides that its input is twenty thousand times too large:

    >>> import numpy as np
    >>> from tvm import relax
    >>> from tvm_book import quantize
    >>> x = relax.Var("x", relax.TensorType((8, 4), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     y = x
    ...     for scales in ([1, 1, 1, 1], [1, 1, 1, 20000], [1, 1, 1, 1]):
    ...         weight = relax.const(np.diag(scales).astype("float32"))
    ...         y = builder.emit(relax.op.tanh(builder.emit(relax.op.matmul(y, weight))))
    ...     _ = builder.emit_func_output(y)
    >>> config = quantize.QConfig(skip_dense_layer=False, calibrate_mode="minmax")
    >>> data = [{"x": np.random.default_rng(0).standard_normal((8, 4)).astype("float32")}]
    >>> found = search(builder.get(), None, data, config=config)
    >>> found.best.config.skip, round(found.best.share, 3), found.satisfied
    (('relax.matmul@1',), 0.667, True)
    """
    from ._attempts import Limits
    from ._strategy import Strategy
    from ._trials import Trials

    subject = check_subject("search", mod, params, dataset, evaluation, config)
    measure = metric_of(metric)
    max_drop = _real("max_drop", max_drop)
    if isinstance(budget, bool) or not isinstance(budget, numbers.Integral) or budget < 1:
        raise ValueError(f"budget is {budget!r}; give the number of trials, at least 1")
    if seconds is not None:
        seconds = _real("seconds", seconds)
    if cost is not None and not callable(cost):
        raise TypeError(f"cost is a {type(cost).__name__}; give a function of the quantized module")
    modes = [calibrate] if isinstance(calibrate, str) else list(calibrate)
    for mode in modes:
        if mode not in ALGORITHMS:
            raise ValueError(f"calibrate has {mode!r}; there are {', '.join(ALGORITHMS)}")
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise TypeError(f"seed is {seed!r}; give a whole number")
    limits = Limits(max_drop, int(budget), seconds, int(seed))
    trials = Trials(subject, measure, modes, cost)
    strategy = Strategy(trials, subject, modes, limits)
    interrupted = False
    points = strategy.run()
    shown = track(points, "search", int(budget)) if progress is True else points
    try:
        with closing(shown):
            for point in shown:
                if callable(progress):
                    progress(point)
    except KeyboardInterrupt:
        if not strategy.points:
            raise
        interrupted = True
    return SearchResult(
        trials=tuple(strategy.points),
        metric=measure.name,
        float_value=trials.float_value,
        max_drop=max_drop,
        interrupted=interrupted,
        recipe=strategy.recipe,
        _subject=subject,
    )


def _real(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}; give a number that is not negative")
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value!r}; give a number that is not negative")
    return float(value)
