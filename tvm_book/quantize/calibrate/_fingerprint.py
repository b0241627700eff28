"""A short text by which an annotated model is known again, in another process, too."""

from __future__ import annotations

import hashlib

from .._graph import Graph, op_name, operands, to_numpy

__all__ = ["fingerprint"]


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
        about = [op_name(expr), *(str(getattr(expr, name, "")) for name in ("attrs", "index"))]
        about += [str(arg) for arg in getattr(expr, "args", ()) if not list(operands(arg))]
        about += [str(getattr(var, "ty", ""))]
        digest.update("\n".join(about).encode())
        for leaf in operands(expr):
            if leaf in numbers:
                digest.update(numbers[leaf].encode())
            else:
                value = to_numpy(leaf)
                digest.update(f"{value.dtype} {value.shape}".encode())
                digest.update(value.tobytes())
        numbers[var] = str(len(numbers))
    return digest.hexdigest()
