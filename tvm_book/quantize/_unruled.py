"""Which operators of a model a scheme says nothing about."""

from __future__ import annotations

from tvm import IRModule, relax

from ._graph import Graph, module_path, op_name, operands
from .config import QConfig
from .schemes import scheme_for

__all__ = ["operators_without_rule"]


def operators_without_rule(mod: IRModule, config: QConfig) -> str:
    """Return what to tell the user of them, ``""`` if there are none.

    Relay's scheme, which leaves much in float, says nothing: Relay did not.
    """
    if config.scheme == "relay":
        return ""
    scheme, graph = scheme_for(config), Graph(mod["main"])
    found: dict[str, list[str]] = {}
    for var in graph.post_order():
        name = op_name(graph.bindings[var])
        computes = name and _is_float(var) and any(map(_is_float, operands(graph.bindings[var])))
        if computes and not scheme.has_rule(name):
            found.setdefault(name, []).append(module_path(var))
    if not found:
        return ""
    places = [name + _places(paths) for name, paths in found.items()]
    return (
        f"scheme={config.scheme!r} has no rule about {', '.join(places)}: it stays in float, and "
        "the integers around it return to float. An operator that works element by element gets "
        f"one with qconfig(rules=[quantize.rules.pointwise({next(iter(found))!r})])"
    )


def _is_float(expr: relax.Expr) -> bool:
    return isinstance(expr.ty, relax.TensorType) and str(expr.ty.dtype) == "float32"


def _places(paths: list[str]) -> str:
    named = [path for path in dict.fromkeys(paths) if path]
    return f" ({', '.join(named[:3])}{', ...' if len(named) > 3 else ''})" if named else ""
