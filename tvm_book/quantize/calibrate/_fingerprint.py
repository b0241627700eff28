"""A short text by which an annotated model is known again, in another process, too."""

from __future__ import annotations

import hashlib
from typing import Any

from tvm import relax

from .._graph import Graph, op_name, operands, to_numpy
from ._modes import MARKERS, SIMULATED

__all__ = ["fingerprint", "value_keys"]


def fingerprint(graph: Graph) -> str:
    """Hash the operators, their attributes, shapes and constants; names do not count.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    str
        The same for the same model in every process.

    Examples
    --------
    >>> from tvm import relax
    >>> from tvm_book.quantize._emitter import Emitter
    >>> def graph(name, op):
    ...     x, emitter = relax.Var(name, relax.TensorType((2,), "float32")), Emitter()
    ...     return Graph(emitter.function([x], op(x)))
    >>> first = fingerprint(graph("x", relax.op.exp))
    >>> [first == fingerprint(graph("y", op)) for op in (relax.op.exp, relax.op.log)]
    [True, False]
    """
    digest = hashlib.blake2b(digest_size=16)
    numbers = {param: f"p{number} {param.ty}" for number, param in enumerate(graph.params)}
    for var in [*graph.post_order(), None]:
        expr = graph.output if var is None else graph.bindings[var]
        digest.update(_about(expr, var).encode())
        for leaf in operands(expr):
            if leaf in numbers:  # between ends, or "1" before "11" would be "11" before "1"
                digest.update(f"\n{numbers[leaf]}\n".encode())
            else:
                _add_constant(digest, leaf)
        numbers[var] = str(len(numbers))
    return digest.hexdigest()


def value_keys(graph: Graph) -> dict[relax.Expr, str]:
    """Return a key for each float value, constants too: equal keys mean equal values.

    Markers, and roundings without a grid, hand on the value that they read. So the keys of a
    model's tensors are the same however it was annotated.

    Parameters
    ----------
    graph : Graph
        Annotated or not, without grids.

    Returns
    -------
    dict from tvm.relax.Var or constant to str
        Parameters are known by their number.
    """
    keys: dict[relax.Expr, str] = {
        param: f"p{number} {param.ty}" for number, param in enumerate(graph.params)
    }

    def key(leaf: relax.Expr) -> str:
        if leaf not in keys:  # it is a constant
            digest = hashlib.blake2b(digest_size=16)
            _add_constant(digest, leaf)
            keys[leaf] = digest.hexdigest()
        return keys[leaf]

    for var in graph.post_order():
        source = graph.behind(var, _is_marker)
        if source != var:
            keys[var] = key(source)
            continue
        expr = graph.bindings[var]
        digest = hashlib.blake2b(_about(expr, var).encode(), digest_size=16)
        for leaf in (graph.behind(leaf, _is_marker) for leaf in operands(expr)):
            digest.update(f"\n{key(leaf)}".encode())
        keys[var] = digest.hexdigest()
    return keys


def _is_marker(expr: Any) -> bool:
    return op_name(expr).startswith((MARKERS, SIMULATED))


def _about(expr: relax.Expr, var: relax.Var | None) -> str:
    about = [op_name(expr), *(str(getattr(expr, name, "")) for name in ("attrs", "index"))]
    about += [str(arg) for arg in getattr(expr, "args", ()) if not list(operands(arg))]
    return "\n".join([*about, str(getattr(var, "ty", ""))])


def _add_constant(digest: Any, constant: relax.Expr) -> None:
    value = to_numpy(constant)
    digest.update(f"{value.dtype} {value.shape}".encode())
    digest.update(value.tobytes())
