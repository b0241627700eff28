"""From a Relax module to an executable of the Relax virtual machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import tvm
from tvm import relax
from tvm.relax.backend.cpu_generic import pipeline as stages

from .._lowering import LOWERING
from ._machine_code import library
from ._steps import Step, leftovers, record_steps
from ._threads import check_threads, default_threads, use_threads
from .graph import KernelCall, Lowered, lower, simplify
from .isa import LEVELS, Isa, select

# TVM writes C where a module has no TIR at all, and running that takes a C compiler.
_ANCHORAGE = "tvm_book_nothing"

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
    return _pipeline(target)


def _pipeline(
    target: tvm.target.Target, *after_fusion: tvm.transform.Pass
) -> tvm.transform.Sequential:
    passes = [
        *stages.library_dispatch_passes(target),
        *stages.legalize_passes(target),
        *after_fusion,
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
    steps : tuple of Step
        All that a run calls, with what TVM made of operators for which there is no kernel.
    threads : int
        For how many threads the loops are cut.
    """

    executable: relax.VMExecutable
    isa: Isa
    kernel_target: tvm.target.Target
    calls: tuple[KernelCall, ...]
    steps: tuple[Step, ...]
    threads: int


def build(
    mod: tvm.IRModule,
    target: tvm.target.Target,
    isa: str | Isa | None = None,
    threads: int | None = None,
) -> Built:
    """Generate machine code for a module whose parameters are bound.

    Parameters
    ----------
    mod : tvm.IRModule
        A Relax module; it is not changed.
    target : tvm.target.Target
        An LLVM target, as `resolve_target` returns it.
    isa : str or Isa, optional
        Instruction set of the kernels; by default the best that the target and this CPU have.
    threads : int, optional
        How many threads the kernels' loops are cut for; by default `default_threads`.

    Returns
    -------
    Built

    Raises
    ------
    NotImplementedError
        TVM has no CPU code for an operator of the module.
    ValueError
        There is no instruction set `isa`, or this CPU lacks it; `threads` is no such number.

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
    if not isinstance(isa, str | Isa | None):
        raise ValueError(f"isa must be one of {', '.join(LEVELS)}, or None, not {isa!r}")
    threads = check_threads(threads) or default_threads()
    level = select(target, isa)
    use_threads(threads)  # before TVM runs something, for the pool that it makes never grows
    mod = simplify(mod)
    lowered = lower(mod, level, threads)
    kernel_target = level.target(target)
    steps: list[Step] = []
    with LOWERING:
        recorder = _recorder(mod, lowered, level.name, steps.extend)
        module = lowered.module
        module[_ANCHORAGE] = _nothing()
        executable = _compile(module, target, recorder)
        if lowered.kernels:
            # A module that names it as an external one would be linked by a C++ compiler to run.
            executable.mod.import_module(library(lowered.kernels, kernel_target))
    calls = tuple(lowered.calls)
    return Built(executable, level, kernel_target, calls, tuple(steps), threads)


def _nothing() -> tvm.tirx.PrimFunc:
    """Return a function that does nothing."""
    body = tvm.tirx.Evaluate(tvm.tirx.const(0, "int32"))
    return tvm.tirx.PrimFunc([], body).with_attr("global_symbol", _ANCHORAGE)


def _recorder(
    mod: tvm.IRModule, lowered: Lowered, isa: str, found: Callable[[list[Step]], None]
) -> tvm.transform.Pass:
    """Return a pass that changes nothing and reports the steps."""
    left = leftovers(mod, lowered.module)

    @tvm.transform.module_pass(opt_level=0, name="RecordSteps")
    def record(fused: tvm.IRModule, _: tvm.transform.PassContext) -> tvm.IRModule:
        found(record_steps(fused, lowered.calls, isa, left))
        return fused

    return record


def _compile(
    mod: tvm.IRModule, target: tvm.target.Target, recorder: tvm.transform.Pass
) -> relax.VMExecutable:
    try:
        return tvm.compile(mod, target, relax_pipeline=_pipeline(target, recorder))
    except tvm.error.InternalError as error:
        call = _OFFENDING_CALL.search(str(error))
        if call is None:
            raise
        raise NotImplementedError(
            f"the operator relax.{call[1]} cannot be compiled: TVM knows no loops for it. Replace "
            "it before compiling, or give it a legalization: "
            f"tvm.ir.register_op_attr('relax.{call[1]}', 'FLegalize', ...)"
        ) from None
