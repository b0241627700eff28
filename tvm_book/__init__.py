"""Quantize, compile and look inside neural networks with today's Apache TVM.

The rooms of the library, in the order in which a model passes through them:

`frontend`
    PyTorch models become Relax modules.
`quantize`
    Float modules become integer modules.
`backend`
    Relax becomes machine code.
`runtime`
    `CompiledModel`: call, time, profile, save.

Beside them stand `instrument` (look inside passes), `testing` (metrics), `viz` (figures) and
`report` (where a quantized model loses accuracy, and what to do).
Importing `tvm_book` alone loads neither TVM nor torch; a room is imported when it is first used.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import tvm

    from .runtime import CompiledModel

__all__ = ["CompiledModel", "__version__", "compile", "load"]

_ROOMS = ("backend", "frontend", "instrument", "quantize", "report", "runtime", "testing", "viz")

try:
    __version__ = metadata.version("tvm-book")
except metadata.PackageNotFoundError:  # a clone that was never installed
    __version__ = "0+unknown"


def compile(
    mod: tvm.IRModule,
    target: str | dict | tvm.target.Target = "llvm",
    params: Mapping[str, Any] | None = None,
    *,
    isa: str | None = None,
    threads: int | None = None,
) -> CompiledModel:
    """Compile the function `main` of a Relax module for this machine's CPU.

    Parameters
    ----------
    mod : tvm.IRModule
        A Relax module whose `main` takes and returns tensors of fixed shapes. It is not changed.
    target : str, dict or tvm.target.Target, optional
        ``"llvm"`` means this CPU, with fused multiply-add switched off, so that a multiplication
        followed by an addition rounds twice, as in NumPy. Anything else that describes an LLVM
        CPU target is used as given, for example ``{"kind": "llvm", "mcpu": "x86-64-v3"}``.
    params : mapping of str to array, optional
        Values for inputs of `main` that become constants of the compiled program: the weights of
        a float module. NumPy, torch and TVM arrays are taken, and copied.
    isa : str, optional
        Instruction set of the kernels: a key of `tvm_book.backend.isa.LEVELS`, such as
        ``"avx512-vnni"`` or ``"portable"``. By default the best that this CPU and `target` have.
    threads : int, optional
        How many threads a run uses, and the kernels are cut for; at most as many as there are
        cores are used. By default ``TVM_NUM_THREADS`` of the environment, else all cores that
        this process may use. It belongs to this model alone: another one, called next, has its
        own. Each thread that calls models has workers of its own, which stay off the core on
        which their caller stands; the caller itself is bound nowhere. The number of threads does
        not change the results.

    Returns
    -------
    CompiledModel
        Call it with the inputs that `params` did not fix.

    Raises
    ------
    TypeError
        `mod` is not an IRModule, or a parameter is not an array of the right dtype.
    ValueError
        `mod` has no `main`, a parameter is missing, unknown or of the wrong shape, or the target
        is not an LLVM target that this machine can run; there is no instruction set `isa` here,
        or `threads` is not at least 1.
    NotImplementedError
        A shape is dynamic, or TVM has no CPU code for an operator.

    Examples
    --------
    >>> import numpy as np
    >>> from tvm import relax
    >>> import tvm_book
    >>> builder = relax.BlockBuilder()
    >>> x = relax.Var("x", relax.TensorType((2, 3), "float32"))
    >>> scale = relax.Var("scale", relax.TensorType((3,), "float32"))
    >>> with builder.function("main", [x, scale]):
    ...     _ = builder.emit_func_output(builder.emit(relax.op.multiply(x, scale)))
    >>> run = tvm_book.compile(builder.get(), params={"scale": np.array([1, 10, 100], "float32")})
    >>> run(x=np.ones((2, 3), "float32"))
    array([[  1.,  10., 100.],
           [  1.,  10., 100.]], dtype=float32)
    >>> run.inputs
    (TensorSpec(name='x', shape=(2, 3), dtype='float32'),)
    """
    from . import backend
    from .runtime import Code, CompiledModel

    backend.check_threads(threads)
    resolved = backend.resolve_target(target)
    bound = backend.bind_params(mod, params)
    inputs, outputs = backend.signature(bound)
    built = backend.build(bound, resolved, isa, threads)
    code, recipe = Code.of(built, resolved), getattr(mod, "recipe", None)
    return CompiledModel(built.executable, inputs, outputs, code, threads, recipe)


def load(path: str | os.PathLike[str], *, threads: int | None = None) -> CompiledModel:
    """Load a model that `CompiledModel.save` wrote.

    The file holds machine code that is executed: load only files whose origin you trust.

    Parameters
    ----------
    path : str or path-like
        The ``.so`` file.
    threads : int, optional
        How many threads a run uses, as in `compile`; the file does not say.

    Returns
    -------
    CompiledModel
        It computes the same bits as the model that was saved.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file was not written by `CompiledModel.save` of this version, is damaged or cut short,
        or needs instructions that this CPU does not have, which the message names; or `threads`
        is not at least 1.

    Examples
    --------
    >>> run.save("model.so")  # doctest: +SKIP
    >>> tvm_book.load("model.so")(x)  # doctest: +SKIP
    """
    from .runtime import load

    return load(path, threads)


def __getattr__(name: str) -> Any:
    if name == "CompiledModel":
        return importlib.import_module(".runtime", __name__).CompiledModel
    if name in _ROOMS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
