"""What a float module from a front end is relieved of before its operators become kernels."""

from __future__ import annotations

import tvm
from tvm import relax

from ...quantize._graph import Graph, op_name, operands
from ...quantize.fold_constants import FoldConstants
from ...quantize.prepare import SimplifyInference
from ...quantize.prepare_affine import FoldIntoLayers

__all__ = ["simplify"]

BATCH_NORM = "relax.nn.batch_norm"


def simplify(mod: tvm.IRModule) -> tvm.IRModule:
    """Fold constants, and batch norms into the layers before them.

    A module without batch norm keeps its sums and products: the quantizer has folded what it
    wanted folded, and what it left rounds as Relay's code did.

    Parameters
    ----------
    mod : tvm.IRModule
        Its parameters are bound; it is not changed.

    Returns
    -------
    tvm.IRModule

    Examples
    --------
    >>> from tvm import relax
    >>> from tvm_book.backend.graph import simplify
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x := relax.Var("x", relax.TensorType((2,), "float32"))]):
    ...     two = builder.emit(relax.op.negative(relax.const([-2.0, -2.0], "float32")))
    ...     _ = builder.emit_func_output(builder.emit(relax.op.multiply(x, two)))
    >>> len(simplify(builder.get())["main"].body.blocks[0].bindings)
    1
    """
    names = _names(mod)
    passes = [FoldConstants.as_pass()] if names else []
    if BATCH_NORM in names:
        passes = [SimplifyInference.as_pass(), *passes, FoldIntoLayers.as_pass()]
    return tvm.transform.Sequential(passes, name="Simplify")(mod) if passes else mod


def _names(mod: tvm.IRModule) -> set[str]:
    """Operators that read constants; none if `main` is no straight line."""
    main = next((f for v, f in mod.functions.items() if v.name_hint == "main"), None)
    if not isinstance(main, relax.Function):
        return set()
    try:
        graph = Graph(main)
    except ValueError:
        return set()
    return {
        op_name(value)
        for value in graph.bindings.values()
        if any(not isinstance(leaf, relax.Var) for leaf in operands(value))
    }
