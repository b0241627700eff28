"""Which values an integer operator will read, in the end: only those are worth rounding."""

from __future__ import annotations

from collections.abc import Callable, Container

from tvm import relax

from ._graph import Graph, operands

__all__ = ["INPUT", "SYMMETRIC", "demands"]

INPUT, SYMMETRIC = "input", "symmetric"


def demands(
    graph: Graph, asks: Callable[[relax.Expr], tuple | str | None], skipped: Container[relax.Var]
) -> dict[relax.Var, str]:
    """Walk from the result back to the inputs and note what is asked of each value.

    Parameters
    ----------
    graph : Graph
    asks : callable (expr) -> tuple of (str or None), ``"pass"``, or None
        What an operator asks of its operands, left to right: ``"input"`` (a narrow integer),
        ``"symmetric"`` (one whose zero point is 0) or None. ``"pass"``: whatever is asked of the
        operator's own result.
    skipped : container of tvm.relax.Var
        Operators that stay in float and ask nothing.

    Returns
    -------
    dict
        Variables that nothing is asked of are not in it.
    """
    wanted: dict[relax.Var, str] = {}
    for var in reversed(graph.post_order()):
        expr = graph.bindings[var]
        answer = None if var in skipped else asks(expr)
        leaves = list(operands(expr))
        if answer == "pass":
            answer = (wanted.get(var),) * len(leaves)
        for leaf, kind in zip(leaves, answer or (), strict=False):
            if kind is not None and isinstance(leaf, relax.Var):
                wanted[leaf] = SYMMETRIC if SYMMETRIC in (kind, wanted.get(leaf)) else kind
    return wanted
