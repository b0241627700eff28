"""Which operators of a model compute in integers, and why others do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tvm
    from tvm import relax

    from ..quantize import QConfig
    from ._models import FloatModel

__all__ = ["operators"]

_MARKERS = ("relax.qnn.", "relax.annotation.")
_UNASKED = "an option leaves it out, or no integer layer is beside it"


def operators(model: FloatModel, config: QConfig) -> list[dict[str, Any]]:
    """Count the operators of a float model, as they are before calibration.

    Returns
    -------
    list of dict
        One for each operator, in the order of first use: ``op``; ``all`` and ``int8``, how many
        there are and how many compute in integers; ``why`` others do not.
    """
    from .._signature import bind_params
    from ..quantize._graph import op_name
    from ..quantize.qdq import has_grids
    from ..quantize.schemes import scheme_for

    mod, scheme = bind_params(model.mod, model.params), scheme_for(config)
    own_grids = has_grids(mod)
    found: dict[str, dict[str, Any]] = {}
    for call, is_integer in _with_grids(mod) if own_grids else _annotated(mod, config):
        name = op_name(call)
        if not name or name.startswith(_MARKERS):
            continue
        row = found.setdefault(name, {"op": name, "all": 0, "int8": 0, "why": ""})
        row["all"] += 1
        if is_integer:
            row["int8"] += 1
        elif not own_grids:
            ruled = scheme.has_rule(name)
            row["why"] = (
                scheme.rule_for(call).why or _UNASKED
                if ruled
                else f"preset {config.preset!r} has no rule about it"
            )
    return list(found.values())


def _annotated(mod: tvm.IRModule, config: QConfig) -> Iterator[tuple[relax.Expr, bool]]:
    """Yield each operator, and whether its result is rounded or a sum of integers."""
    import tvm

    from ..quantize._passes import annotate_passes
    from ..quantize.annotate import Annotate
    from ..quantize.schemes import scheme_for

    *before, _ = annotate_passes(config)
    annotate = Annotate(tvm.transform.Sequential(before)(mod), scheme_for(config), config)
    annotate.run()
    for var in annotate.graph.post_order():
        yield annotate.graph.bindings[var], annotate[var].kind is not None


def _with_grids(mod: tvm.IRModule) -> Iterator[tuple[relax.Expr, bool]]:
    """Yield each operator of a model with grids of its own, and whether it reads from one."""
    import tvm

    from ..quantize._graph import Graph, op_name, operands
    from ..quantize.qdq import recognise_passes

    graph = Graph(tvm.transform.Sequential(recognise_passes())(mod)["main"])
    for var in graph.post_order():
        call = graph.bindings[var]
        read = (op_name(graph.bindings.get(x)) for x in operands(call))
        yield call, any(name.startswith(_MARKERS) for name in read)
