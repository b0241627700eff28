"""From a Relax module to an executable of the Relax virtual machine."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import tvm
from tvm import relax
from tvm.relax.backend.cpu_generic import pipeline as stages

from .._lowering import LOWERING
from .graph import KernelCall, lower
from .isa import Isa, select

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


@dataclass(frozen=True)
class Built:
    """What `build` returns.

    Attributes
    ----------
    executable : tvm.relax.VMExecutable
        Runs in `tvm.relax.VirtualMachine`.
    isa : Isa
        The instruction set of the kernels.
    kernel_target : tvm.target.Target
        What the kernels were compiled for.
    calls : tuple of KernelCall
        The kernels that a run calls, in order.
    """

    executable: relax.VMExecutable
    isa: Isa
    kernel_target: tvm.target.Target
    calls: tuple[KernelCall, ...]


def build(
    mod: tvm.IRModule,
    target: tvm.target.Target,
    isa: str | None = None,
    threads: int | None = None,
) -> Built:
    """Generate machine code for a module whose parameters are bound.

    Parameters
    ----------
    mod : tvm.IRModule
        A Relax module; it is not changed.
    target : tvm.target.Target
        An LLVM target, as `resolve_target` returns it.
    isa : str, optional
        Instruction set of the kernels; by default the best that the target and this CPU have.
    threads : int, optional
        How many threads the kernels' loops are cut for; by default all cores.

    Returns
    -------
    Built

    Raises
    ------
    NotImplementedError
        TVM has no CPU code for an operator of the module.
    ValueError
        There is no instruction set `isa`, or this CPU lacks it.

    Examples
    --------
    >>> from tvm import relax
    >>> from tvm_book import backend
    >>> builder = relax.BlockBuilder()
    >>> x = relax.Var("x", relax.TensorType((4,), "float32"))
    >>> with builder.function("main", [x]):
    ...     _ = builder.emit_func_output(builder.emit(relax.op.nn.relu(x)))
    >>> built = backend.build(builder.get(), backend.resolve_target("llvm"))
    >>> built.executable.mod.kind
    'relax.VMExecutable'
    >>> [call.operators for call in built.calls]
    [('nn.relu',)]
    """
    level = select(target, isa)
    lowered = lower(mod, level, threads or os.cpu_count() or 1)
    kernel_target = level.target(target)
    with LOWERING:
        module = lowered.module
        if lowered.kernels:
            library = tvm.tirx.build(tvm.IRModule(lowered.kernels), target=kernel_target)
            module = module.with_attr("external_mods", [library])
        executable = _compile(module, target)
    return Built(executable, level, kernel_target, tuple(lowered.calls))


def _compile(mod: tvm.IRModule, target: tvm.target.Target) -> relax.VMExecutable:
    try:
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
