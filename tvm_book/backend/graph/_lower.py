"""Replace Relax operators by calls of kernels, and leave the others as they are."""

from __future__ import annotations

import tvm
from tvm import relax

from ...quantize._graph import Graph, map_operands
from ..isa import Isa
from ._fuse import is_static
from ._kernels import Kernels
from ._plan import KernelCall, Lowered
from ._walk import Lowering

__all__ = ["lower"]


def lower(mod: tvm.IRModule, isa: Isa, threads: int) -> Lowered:
    """Lower all functions that are a straight line of operators on tensors of static shapes.

    Parameters
    ----------
    mod : tvm.IRModule
        It is not changed.
    isa : Isa
        What kernels may use.
    threads : int
        How many threads loops are cut for.

    Returns
    -------
    Lowered

    Examples
    --------
    >>> from tvm import relax
    >>> from tvm_book import backend
    >>> from tvm_book.backend import graph, isa
    >>> builder = relax.BlockBuilder()
    >>> x = relax.Var("x", relax.TensorType((4,), "float32"))
    >>> with builder.function("main", [x]):
    ...     y = builder.emit(relax.op.nn.relu(builder.emit(relax.op.add(x, x))))
    ...     _ = builder.emit_func_output(y)
    >>> level = isa.select(backend.resolve_target("llvm"), "portable")
    >>> lowered = graph.lower(builder.get(), level, threads=1)
    >>> [(call.operators, call.shape) for call in lowered.calls]  # one kernel for both
    [(('nn.relu', 'add'), (4,))]
    """
    module, kernels = tvm.IRModule(mod.functions, attrs=mod.attrs), Kernels()
    calls: list[KernelCall] = []
    for name, func in mod.functions.items():
        if isinstance(func, relax.Function):
            new = _function(func, isa, threads, kernels, calls)
            if new is not None:
                module.update_func(name, new)
    return Lowered(module, kernels.functions, calls)


def _function(
    func: relax.Function, isa: Isa, threads: int, kernels: Kernels, calls: list[KernelCall]
) -> relax.Function | None:
    """Lower one function; None if it is no straight line, or not all shapes are known."""
    try:
        graph = Graph(func)
    except ValueError:
        return None
    if not all(is_static(var.ty) for var in (*graph.params, *graph.bindings)):
        return None
    walk = Lowering(graph, isa, threads, kernels, calls)
    params = [relax.Var(param.name, param.ty) for param in func.params]
    with walk.builder.function("main", params):
        with walk.builder.dataflow():
            for old, new in zip(func.params, params, strict=True):
                walk.bind(old, new)
            walk.run()
            out = walk.builder.emit_output(map_operands(graph.output, walk.plain))
        walk.builder.emit_func_output(out)
    new = walk.builder.finalize()["main"].without_attr("global_symbol")
    return new.with_attrs(func.attrs) if func.attrs else new
