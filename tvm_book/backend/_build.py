"""From a Relax module to an executable of the Relax virtual machine."""

from __future__ import annotations

import re

import tvm
from tvm import relax
from tvm.relax.backend.cpu_generic import pipeline as stages

from .._lowering import LOWERING

# The end of TVM's own message, for example "Offending call:\nR.nn.some_op(x)".
_OFFENDING_CALL = re.compile(r"Offending call:\s*R\.([\w.]+)")


def cpu_pipeline(target: tvm.target.Target) -> tvm.transform.Pass:
    """Return the passes that turn Relax operators into CPU loops and calls.

    These are TVM's own CPU passes: legalize, fold constants, fuse operators, plan memory. The
    pipeline that `tvm.compile` takes by default leaves folding and fusion out.

    Parameters
    ----------
    target : tvm.target.Target
        An LLVM target.

    Returns
    -------
    tvm.transform.Pass
        One `Sequential` pass, named ``cpu_pipeline`` for pass instruments.

    References
    ----------
    TVM 0.27, ``relax/backend/cpu_generic/pipeline.py``.

    Examples
    --------
    >>> from tvm_book.backend import cpu_pipeline, resolve_target
    >>> cpu_pipeline(resolve_target("llvm")).info.name
    'cpu_pipeline'
    """
    passes = [
        *stages.library_dispatch_passes(target),
        *stages.legalize_passes(target),
        *stages.dataflow_lower_passes(target),
        *stages.finalize_passes(target),
    ]
    return tvm.transform.Sequential(passes, name="cpu_pipeline")


def build(mod: tvm.IRModule, target: tvm.target.Target) -> relax.VMExecutable:
    """Generate machine code for a module whose parameters are bound.

    Parameters
    ----------
    mod : tvm.IRModule
        A Relax module; it is not changed.
    target : tvm.target.Target
        An LLVM target, as `resolve_target` returns it.

    Returns
    -------
    tvm.relax.VMExecutable
        Runs in `tvm.relax.VirtualMachine`.

    Raises
    ------
    NotImplementedError
        TVM has no CPU code for an operator of the module.

    Examples
    --------
    >>> from tvm import relax
    >>> from tvm_book import backend
    >>> builder = relax.BlockBuilder()
    >>> x = relax.Var("x", relax.TensorType((4,), "float32"))
    >>> with builder.function("main", [x]):
    ...     _ = builder.emit_func_output(builder.emit(relax.op.nn.relu(x)))
    >>> executable = backend.build(builder.get(), backend.resolve_target("llvm"))
    >>> executable.mod.kind
    'relax.VMExecutable'
    """
    try:
        with LOWERING:
            return tvm.compile(mod, target, relax_pipeline=cpu_pipeline(target))
    except tvm.error.InternalError as error:
        call = _OFFENDING_CALL.search(str(error))
        if call is None:
            raise
        raise NotImplementedError(
            f"the operator relax.{call[1]} cannot be compiled: TVM knows no loops for it. Replace "
            "it before compiling, or give it a legalization: "
            f"tvm.ir.register_op_attr('relax.{call[1]}', 'FLegalize', ...)"
        ) from None
