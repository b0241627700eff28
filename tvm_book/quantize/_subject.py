"""What `sensitivity` and `search` look at: a float model, and data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tvm import IRModule, relax

from .._signature import bind_params, signature
from ._dataset import Batches, batches_of
from .config import QConfig, current_qconfig
from .qdq import has_grids

__all__ = ["Subject", "check_subject"]

Dataset = Iterable[Mapping[str, Any]]


class Subject(NamedTuple):
    """Checked arguments.

    Attributes
    ----------
    mod : IRModule
        With its parameters bound.
    config : QConfig
    dataset : Batches
        To calibrate on.
    evaluation : Batches
        To measure on.
    """

    mod: IRModule
    config: QConfig
    dataset: Batches
    evaluation: Batches


def check_subject(
    caller: str,
    mod: IRModule,
    params: Mapping[str, Any] | None,
    dataset: Dataset | None,
    evaluation: Dataset | None,
    config: QConfig | None,
) -> Subject:
    """Check the arguments of ``caller``, which errors name.

    Raises
    ------
    TypeError, ValueError
        The message says what to do.
    """
    config = current_qconfig() if config is None else config
    if not isinstance(config, QConfig):
        raise TypeError(f"config is a {type(config).__name__}; make one with qconfig(...)")
    if dataset is None:
        raise ValueError(f"{caller} needs data: pass dataset=[{{name: array}}, ...]")
    mod = bind_params(mod, params)
    inputs, _ = signature(mod)
    if has_grids(mod):
        raise ValueError(
            f"the model brings its own grids, so nothing is left to decide: give {caller} the "
            "float model that it was made of"
        )
    if not isinstance(mod["main"].ret_ty, relax.TensorType):
        raise ValueError(
            f"main returns a tuple, and {caller} compares one tensor: give it a model that returns "
            "the output that matters"
        )
    batches = batches_of(dataset, inputs).repeatable()
    if evaluation is None or evaluation is dataset:
        return Subject(mod, config, batches, batches)
    measured = batches_of(evaluation, inputs, "evaluation").repeatable()
    return Subject(mod, config, batches, measured)
