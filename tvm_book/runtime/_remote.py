"""A saved model on another machine, reached through TVM's RPC."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tvm
from tvm import relax

from .._arguments import bind_arguments, to_numpy
from ..backend import TensorSpec, check_threads
from . import _library
from ._benchmark import Benchmark, measure_by
from ._description import Code, parsed

if TYPE_CHECKING:
    from tvm.rpc import RPCSession

__all__ = ["CANNOT_RUN", "USE_THREADS", "RemoteModel", "upload"]

# What `tvm_book.runtime.server` adds to the functions that a session finds on the other machine.
CANNOT_RUN, USE_THREADS = "tvm_book.cannot_run", "tvm_book.use_threads"
_TIMED = "tvm_book.timed"


class RemoteModel:
    """A model that runs on another machine, called like a function. `upload` makes one.

    It lives as long as its session. A session is one conversation: use it from one thread.

    Parameters
    ----------
    library : tvm.runtime.Module
        What the session loaded.
    session : tvm.rpc.RPCSession
    inputs, outputs : sequence of TensorSpec
    code : Code
    threads : int, optional
        How many threads a run uses there; by default what that machine's environment says, or all
        its cores.
    """

    def __init__(
        self,
        library: tvm.runtime.Module,
        session: RPCSession,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        code: Code,
        threads: int | None = None,
    ) -> None:
        self._device = session.cpu()
        self._machine = relax.VirtualMachine(library, self._device)
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        self._code = code
        self._use_threads = session.get_function(USE_THREADS)
        self._asked = threads or 0
        self._threads = self._use_threads(self._asked)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Name, shape and dtype of each input, in the order of positional arguments."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Name, shape and dtype of each output; nested tuples are listed flat."""
        return self._outputs

    @property
    def isa(self) -> str:
        """Instruction set of the kernels."""
        return self._code.isa

    @property
    def threads(self) -> int:
        """How many threads a run uses over there."""
        return self._threads

    def __call__(self, /, *args: Any, **kwargs: Any) -> np.ndarray | tuple:
        """Send the inputs, run the model there, and fetch the outputs.

        Parameters
        ----------
        *args, **kwargs : array
            As `tvm_book.CompiledModel` takes them.

        Returns
        -------
        numpy.ndarray or tuple
            As `tvm_book.CompiledModel` returns it, with the same bits.

        Raises
        ------
        TypeError, ValueError
            An input does not fit; nothing was sent.
        """
        self._send(args, kwargs)
        self._machine.invoke_stateful("main")
        return to_numpy(self._machine.get_outputs("main"))

    def benchmark(
        self,
        /,
        *args: Any,
        repeat: int = 10,
        number: int | None = None,
        warmup: int = 2,
        **kwargs: Any,
    ) -> Benchmark:
        """Measure the run time by the other machine's clock; the network takes no part in it.

        Parameters
        ----------
        *args, **kwargs : array
            Inputs, as for a call.
        repeat, number, warmup : int, optional
            As for `tvm_book.CompiledModel.benchmark`.

        Returns
        -------
        Benchmark

        Raises
        ------
        TypeError, ValueError
            An input or an option does not fit.
        """
        self._send(args, kwargs)

        def seconds(calls: int) -> float:
            timer = self._machine.time_evaluator("invoke_stateful", self._device, number=calls)
            return timer("main").mean * calls

        return measure_by(seconds, repeat=repeat, number=number, warmup=warmup)

    def __repr__(self) -> str:
        lines = [f"RemoteModel(isa {self.isa}, threads {self.threads})"]
        lines += [f"  in   {spec}" for spec in self._inputs]
        lines += [f"  out  {spec}" for spec in self._outputs]
        return "\n".join(lines)

    def _send(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        tensors = bind_arguments(self._inputs, args, kwargs)
        self._use_threads(self._asked)
        self._machine.set_input("main", *(tensor.copyto(self._device) for tensor in tensors))


def upload(
    path: str | os.PathLike[str], session: RPCSession, *, threads: int | None = None
) -> RemoteModel:
    """Send a model that `CompiledModel.save` wrote to another machine, and load it there.

    Parameters
    ----------
    path : str or path-like
        The ``.so`` file, on this machine. This machine need not be able to run it.
    session : tvm.rpc.RPCSession
        ``tvm.rpc.connect(host, port, session_timeout=60)``, where
        ``python -m tvm_book.runtime.server`` listens.
    threads : int, optional
        How many threads a run uses there; by default ``TVM_NUM_THREADS`` of that machine's
        environment, or all its cores.

    Returns
    -------
    RemoteModel
        It computes the same bits as the model that was saved.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is not a saved model of this version, or damaged; the other machine's CPU cannot
        run it, and the message says why; or its server is not one of `tvm_book`.

    Examples
    --------
    >>> session = tvm.rpc.connect("board", 9090, session_timeout=60)  # doctest: +SKIP
    >>> upload("model.so", session)(x)  # doctest: +SKIP
    """
    threads = check_threads(threads)
    description, _ = _library.read_all(path)
    inputs, outputs, code = parsed(description)
    try:
        cannot_run = session.get_function(CANNOT_RUN)
    except AttributeError as error:
        raise ValueError(
            "this server does not know tvm_book, which checks the CPU and sets threads there: "
            "start it with python -m tvm_book.runtime.server"
        ) from error
    asked = {key: description[key] for key in ("target", "kernel_target", "isa", "needs")}
    if why := cannot_run(json.dumps(asked)):
        raise ValueError(f"{path} cannot run over there, its kernels are for {code.isa}: {why}")
    name = f"{uuid.uuid4().hex}.so"  # never one that is in use: its code would change under it
    session.upload(bytearray(Path(path).read_bytes()), name)
    try:
        library = session.load_module(name)
    except Exception as error:  # whatever TVM raises: the file is intact, so it does not fit there
        raise ValueError(
            f"{path}, saved with TVM {description['tvm']}, does not load over there: {error}"
        ) from error
    return RemoteModel(library, session, inputs, outputs, code, threads)
