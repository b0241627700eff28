"""The passes of a quantization, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tvm
from tvm import relax

from .annotate import Annotate
from .bias_correction import CorrectBias
from .compensate import CompensateRounding
from .config import QConfig
from .corrections import Corrections
from .partition import Partition
from .partition_conversions import PartitionConversions
from .realize import Realize
from .schemes import scheme_for
from .simulate import Simulate

__all__ = ["annotate_passes", "correction_passes", "integer_passes"]


def annotate_passes(config: QConfig) -> list[tvm.transform.Pass]:
    """Return the passes from a float module with bound parameters to an annotated one."""
    scheme = scheme_for(config)
    return [
        *scheme.prepare(config),
        *([Partition.as_pass(scheme, config)] if scheme.has_groups else []),
        Annotate.as_pass(scheme, config),
    ]


def correction_passes(
    config: QConfig,
    batches: Iterable[Mapping[str, Any]] | None,
    keep: Callable[[Corrections], None] | None = None,
) -> list[tvm.transform.Pass]:
    """Return the pass, if any, that compensates weights and corrects biases on data.

    ``keep`` is told what it changed.
    """
    if batches is None:
        return []
    if config.weight_rounding == "compensated":
        return [CompensateRounding.as_pass(batches, config.bias_correction, keep)]
    return [CorrectBias.as_pass(batches, keep)] if config.bias_correction else []


def integer_passes(config: QConfig) -> list[tvm.transform.Pass]:
    """Return the passes from a calibrated and corrected module to the result."""
    simulate = Simulate.as_pass() if config.do_simulation else None
    passes = [
        simulate or Realize.as_pass(scheme_for(config), config),
        relax.transform.EliminateCommonSubexpr(),
        relax.transform.DeadCodeElimination(),
    ]
    if config.partition_conversions != "disabled":
        passes.append(PartitionConversions(config))
    return passes
