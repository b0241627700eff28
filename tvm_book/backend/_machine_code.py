"""From the TIR of kernels to a library."""

from __future__ import annotations

from collections.abc import Mapping

import tvm
from tvm import tirx
from tvm.target import Target
from tvm.tirx.build import codegen_build

__all__ = ["library"]

# What plain loops over flat arrays need of TVM's own pipeline. The rest of that one is for
# schedules and for GPUs: it finds nothing to do here, and doubles the time of compiling.
_PASSES = (
    tirx.transform.FlattenBuffer,
    lambda: tirx.transform.NarrowDataType(32),
    lambda: tirx.transform.VectorizeLoop(True),
    tirx.transform.StorageRewrite,  # without it, arrays in registers are taken from the heap
    tirx.transform.UnrollLoop,
    tirx.transform.StmtSimplify,
    tirx.transform.RemoveNoOp,
    tirx.transform.AnnotateEntryFunc,
    tirx.transform.MakePackedAPI,
    tirx.transform.LowerTVMBuiltin,
    tirx.transform.LowerIntrin,
)


def library(functions: Mapping[str, tirx.PrimFunc], target: Target) -> tvm.runtime.Module:
    """Compile functions, each under its symbol.

    Parameters
    ----------
    functions : mapping of str to tvm.tirx.PrimFunc
        Loops over arrays of one axis; each function bears its symbol as ``global_symbol``.
    target : tvm.target.Target
        An LLVM target.

    Returns
    -------
    tvm.runtime.Module

    References
    ----------
    TVM 0.27, ``s_tir/pipeline.py``.
    """
    bind = tirx.transform.BindTarget(target.with_host(target))
    lowered = tvm.transform.Sequential([bind, *(make() for make in _PASSES)], name="LowerKernels")
    return codegen_build(lowered(tvm.IRModule(dict(functions))), target)
