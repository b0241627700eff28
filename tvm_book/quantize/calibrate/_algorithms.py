"""The table of calibration algorithms that ``QConfig.calibrate_mode`` chooses from."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..config import QConfig
from . import global_scale, kl_divergence, minmax, moving_average, mse, percentile
from ._statistic import Statistic

__all__ = ["ALGORITHMS", "algorithm_for"]

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
    mode = config.calibrate_mode
    return ALGORITHMS[mode] if isinstance(mode, str) else mode
