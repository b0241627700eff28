"""A metric by its name, or a function: more is better."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..testing import metric as metrics

__all__ = ["Metric", "metric_of"]

_LOSSES = ("l2_loss", "max_abs_error", "mean_abs_error", "relative_l2")
_NAMES = ("cosine_similarity", "sqnr_db", "top_k_agreement", *_LOSSES)


class Metric(NamedTuple):
    """A function (float output, output) -> float of which more is better, and its name."""

    name: str
    function: Callable[[np.ndarray, np.ndarray], float]

    def __call__(self, reference: np.ndarray, output: np.ndarray) -> float:
        """Return the value for an output; none is worse than that of one that rounding made NaN.

        Raises
        ------
        TypeError, ValueError
            It is no number, or none that can be compared.
        """
        value = self.function(reference.copy(), output.copy())  # it may work in place
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise TypeError(
                f"metric {self.name} returned a {type(value).__name__}; return one number"
            ) from None
        if np.isnan(value):
            if not np.isfinite(reference).all():
                raise ValueError(
                    f"metric {self.name} is NaN, as the float model itself returns a NaN or "
                    "infinity; give a metric that can compare them"
                )
            if np.isfinite(output).all():
                raise ValueError(
                    f"metric {self.name} returned NaN; return a number for every output of the "
                    "model"
                )
            return -np.inf
        return value


def metric_of(metric: str | Callable[..., Any]) -> Metric:
    """Return the metric of a name of `tvm_book.testing.metric`, or of a function.

    A loss, of which less is better, is taken with the other sign, and called so.

    Parameters
    ----------
    metric : str or callable (float_output, output) -> float
        Of a callable, more is better.

    Returns
    -------
    Metric

    Raises
    ------
    TypeError, ValueError
        There is no such metric.

    Examples
    --------
    >>> loss = metric_of("l2_loss")
    >>> loss.name, loss(np.zeros(2), np.array([0, 2]))
    ('-l2_loss', -2.0)
    """
    if isinstance(metric, Metric):
        return metric
    if callable(metric):
        return Metric(getattr(metric, "__name__", type(metric).__name__), metric)
    if not isinstance(metric, str):
        raise TypeError(
            f"metric is a {type(metric).__name__}; give a name of tvm_book.testing.metric, or a "
            "function (float_output, output) -> float of which more is better"
        )
    if metric not in _NAMES:
        near = difflib.get_close_matches(metric, _NAMES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_NAMES)}"
        raise ValueError(f"no metric {metric!r}; {hint}")
    function = getattr(metrics, metric)
    if metric in _LOSSES:
        return Metric(f"-{metric}", lambda reference, output: -function(reference, output))
    return Metric(metric, function)
