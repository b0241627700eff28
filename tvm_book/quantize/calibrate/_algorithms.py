"""The table of calibration algorithms that ``QConfig.calibrate_mode`` chooses from."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..config import QConfig
from . import global_scale, kl_divergence, minmax, moving_average, mse, percentile
from ._statistic import Statistic

__all__ = ["ALGORITHMS", "algorithm_for", "algorithm_of"]

ALGORITHMS: Mapping[str, type[Statistic]] = MappingProxyType(
    {
        global_scale.KEY: global_scale.GlobalScale,
        minmax.KEY: minmax.MinMax,
        moving_average.KEY: moving_average.MovingAverage,
        percentile.KEY: percentile.Percentile,
        kl_divergence.KEY: kl_divergence.KLDivergence,
        mse.KEY: mse.MSE,
    }
)


def algorithm_for(config: QConfig) -> type[Statistic]:
    """Return the algorithm that ``config.calibrate_mode`` names, or is.

    Examples
    --------
    >>> from tvm_book.quantize import QConfig
    >>> algorithm_for(QConfig(calibrate_mode="minmax")).__name__
    'MinMax'
    """
    return algorithm_of(config.calibrate_mode)


def algorithm_of(mode: str | type) -> type[Statistic]:
    """Return the algorithm of this name; a class is one itself."""
    return ALGORITHMS[mode] if isinstance(mode, str) else mode
