"""``QConfig.calibrate_layers``: which algorithm each rounded activation is calibrated by."""

from __future__ import annotations

from collections.abc import Iterable

from tvm import relax

from .._graph import Graph, op_name, operands
from .._selectors import select
from ..config import QConfig
from ._algorithms import algorithm_of

__all__ = [
    "MARKERS",
    "SIMULATED",
    "activation_vars",
    "calibration_modes",
    "looks_at_data",
    "read_activations",
]

SIMULATED = "relax.qnn.simulated_quantize"
MARKERS = "relax.annotation."  # how their names begin: they hand on what they read
# Beside those that run on integers as they are: what leaves the steps of a grid where they are.
PASSED_ON = ("relax.nn.relu", "relax.clip", "relax.nn.pad")


def calibration_modes(graph: Graph, config: QConfig) -> list[str | type]:
    """Say for each rounded activation, in visiting order, which algorithm ``config`` wants.

    Parameters
    ----------
    graph : Graph
        Annotated.
    config : QConfig

    Returns
    -------
    list of str or type

    Raises
    ------
    ValueError
        If a selector of ``config.calibrate_layers`` means no operator that reads any of them.
    """
    rounded = activation_vars(graph)
    chosen: dict[relax.Var, str] = {}
    if config.calibrate_layers:
        reads = read_activations(graph, config)
        for selector, mode in config.calibrate_layers:
            what = "operator of main that reads a rounded activation"
            for reader in select(graph, [selector], "calibrate_layers", reads, what):
                for var in reads[reader]:
                    chosen.setdefault(var, mode)
    return [chosen.get(var, config.calibrate_mode) for var in rounded]


def looks_at_data(config: QConfig) -> str | type | None:
    """Return the first algorithm of a configuration that needs a dataset, None if none does."""
    modes = [config.calibrate_mode, *(mode for _, mode in config.calibrate_layers)]
    return next((mode for mode in modes if algorithm_of(mode).passes), None)


def activation_vars(graph: Graph) -> list[relax.Var]:
    """Variables of the ``simulated_quantize`` that are not of weights, in visiting order."""
    return [var for var in graph.post_order() if _is_activation(graph.bindings[var])]


def _is_activation(expr: relax.Expr) -> bool:
    return op_name(expr) == SIMULATED and expr.attrs["kind"] != "weight"


def read_activations(graph: Graph, config: QConfig) -> dict[relax.Var, list[relax.Var]]:
    """Say which rounded activations each operator reads; those that read none are left out.

    An operator that only moves or selects elements hands on what it reads: its readers read it,
    too.

    Parameters
    ----------
    graph : Graph
        Annotated.
    config : QConfig

    Returns
    -------
    dict from tvm.relax.Var to list of tvm.relax.Var
        Operators in visiting order; of each, the ``simulated_quantize``, left to right.
    """
    from ..rules.rule import on_data  # the rules use calibration
    from ..schemes import scheme_for

    scheme = scheme_for(config)
    reads: dict[relax.Var, list[relax.Var]] = {}
    handed_on: dict[relax.Var, list[relax.Var]] = {}
    for var in graph.post_order():
        expr = graph.bindings[var]
        if op_name(expr) == SIMULATED:
            handed_on[var] = [var] if _is_activation(expr) else []
            continue
        found = list(_distinct(handed_on.get(leaf, ()) for leaf in operands(expr)))
        is_marker = op_name(expr).startswith(MARKERS)
        if found and not is_marker:
            reads[var] = found
        moves = op_name(expr) in PASSED_ON or scheme.rule_for(expr).realize is on_data
        handed_on[var] = found if is_marker or moves else []
    return reads


def _distinct(groups: Iterable[Iterable[relax.Var]]) -> Iterable[relax.Var]:
    return dict.fromkeys(var for group in groups for var in group)
