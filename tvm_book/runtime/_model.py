"""A compiled model: call it, time it, save it, load it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import tvm
from tvm import relax

from ..backend import Built, TensorSpec, missing_features
from . import _library
from ._arguments import bind_arguments, to_numpy
from ._benchmark import Benchmark, measure


class CompiledModel:
    """Machine code for a model, called like a function. `tvm_book.compile` makes one.

    Threads may call one model at the same time.

    Parameters
    ----------
    executable : tvm.relax.VMExecutable or tvm.runtime.Module
        What `tvm_book.backend.build` returns, or a library loaded from disk.
    inputs, outputs : sequence of TensorSpec
        What `main` takes and returns.
    target : tvm.target.Target
        What the code was compiled for.
    built : Built, optional
        What is known of its kernels.

    Examples
    --------
    >>> import numpy as np
    >>> from tvm import relax
    >>> import tvm_book
    >>> builder = relax.BlockBuilder()
    >>> a, b = (relax.Var(name, relax.TensorType((3,), "int32")) for name in "ab")
    >>> with builder.function("main", [a, b]):
    ...     _ = builder.emit_func_output(builder.emit(relax.op.subtract(a, b)))
    >>> run = tvm_book.compile(builder.get(), target={"kind": "llvm"})
    >>> run
    CompiledModel(target generic)
      in   a: int32 (3,)
      in   b: int32 (3,)
      out  output: int32 (3,)
    >>> run(np.array([5, 6, 7], "int32"), b=np.array([1, 2, 3], "int32"))
    array([4, 4, 4], dtype=int32)
    """

    def __init__(
        self,
        executable: relax.VMExecutable | tvm.runtime.Module,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        target: tvm.target.Target,
        built: Built | None = None,
    ) -> None:
        self._executable = executable
        self._built = built
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._target = target
        # A virtual machine has one stack: each thread gets its own. They share code and constants.
        self._per_thread = threading.local()
        self._main()  # a kernel that is missing shows up here, not at the first call

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Name, shape and dtype of each input, in the order of positional arguments."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Name, shape and dtype of each output; nested tuples are listed flat."""
        return self._outputs

    @property
    def target(self) -> tvm.target.Target:
        """What the code was compiled for."""
        return self._target

    def __call__(self, /, *args: Any, **kwargs: Any) -> np.ndarray | tuple:
        """Run the model.

        Parameters
        ----------
        *args, **kwargs : array
            One NumPy, torch (CPU) or TVM array per input, by position or by name, with exactly
            the shape and dtype of that input. Memory is shared where it is aligned to 64 bytes
            and contiguous, otherwise copied; it is never written to.

        Returns
        -------
        numpy.ndarray or tuple
            An array for one output, a tuple for several, nested as the model nests them. They
            belong to the caller: no later call changes them.

        Raises
        ------
        TypeError
            An input is unknown, missing, given twice, not an array, or of another dtype.
        ValueError
            An input has another shape.
        """
        return to_numpy(self._main()(*bind_arguments(self._inputs, args, kwargs)))

    def benchmark(
        self,
        /,
        *args: Any,
        repeat: int = 10,
        number: int | None = None,
        warmup: int = 2,
        **kwargs: Any,
    ) -> Benchmark:
        """Measure the run time, without converting inputs and outputs.

        Parameters
        ----------
        *args, **kwargs : array
            Inputs, as for a call. One that is named like an option below goes by position.
        repeat : int, optional
            Samples to take.
        number : int, optional
            Calls in a sample. By default as many as take about 10 ms.
        warmup : int, optional
            Calls before the first sample.

        Returns
        -------
        Benchmark
            Median, min, max and spread in milliseconds per call, and all samples.

        Raises
        ------
        TypeError, ValueError
            An input or an option does not fit.
        """
        tensors, main = bind_arguments(self._inputs, args, kwargs), self._main()
        return measure(lambda: main(*tensors), repeat=repeat, number=number, warmup=warmup)

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the model to one file, which `tvm_book.load` reads.

        The file is a shared library as `tvm.runtime.load_module` takes it, with a description of
        the inputs and outputs behind it. Linking needs a C++ compiler. A file that cannot be
        finished is not left behind, and never damages one that it was to replace.

        Parameters
        ----------
        path : str or path-like
            A name that ends in ``.so``, in a folder that exists.
        overwrite : bool, optional
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            The file exists and `overwrite` is False.
        FileNotFoundError
            The folder does not exist.
        ValueError
            The name does not end in ``.so``, or this model was itself loaded from a file.
        RuntimeError
            There is no C++ compiler, or it failed.

        Examples
        --------
        >>> run.save("model.so")  # doctest: +SKIP
        """
        if not isinstance(self._executable, tvm.runtime.Executable):
            raise ValueError("this model was loaded from a file: copy that file instead")
        description = {
            "tvm": tvm.__version__,
            "target": str(self._target),
            "inputs": [asdict(spec) for spec in self._inputs],
            "outputs": [asdict(spec) for spec in self._outputs],
        }
        _library.write(path, self._executable, description, overwrite)

    def __repr__(self) -> str:
        lines = [f"CompiledModel(target {self._target.attrs.get('mcpu') or 'generic'})"]
        lines += [f"  in   {spec}" for spec in self._inputs]
        lines += [f"  out  {spec}" for spec in self._outputs]
        return "\n".join(lines)

    def _main(self) -> Callable[..., Any]:
        if not hasattr(self._per_thread, "main"):
            machine = relax.VirtualMachine(self._executable, tvm.cpu())
            self._per_thread.main = machine["main"]
        return self._per_thread.main


def load(path: str | os.PathLike[str]) -> CompiledModel:
    """Load a saved model; `tvm_book.load` documents it."""
    description = _library.read(path)
    target = tvm.target.Target(description["target"])
    if missing := missing_features(target):
        raise ValueError(
            f"{path} was compiled for another CPU: this one lacks {', '.join(missing)}. "
            "Compile and save the model again here"
        )
    library = _library.open_library(path, description["tvm"])
    inputs, outputs = _specs(description["inputs"]), _specs(description["outputs"])
    return CompiledModel(library, inputs, outputs, target)


def _specs(rows: list[dict[str, Any]]) -> list[TensorSpec]:
    shapes = [None if row["shape"] is None else tuple(row["shape"]) for row in rows]
    return [
        TensorSpec(row["name"], shape, row["dtype"])
        for row, shape in zip(rows, shapes, strict=True)
    ]
