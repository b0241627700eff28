"""A compiled model: call it, time it, save it, load it."""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tvm
from tvm import relax

from .._arguments import bind_arguments, to_numpy
from ..backend import TensorSpec, check_threads, default_threads, use_threads
from . import _library
from ._benchmark import Benchmark, measure
from ._description import Code, describe, described
from ._profile import profile_rows, watch
from ._report import Profile

if TYPE_CHECKING:
    from ..quantize import Recipe


class CompiledModel:
    """Machine code for a model, called like a function. `tvm_book.compile` makes one.

    Threads may call one model at the same time.

    Parameters
    ----------
    executable : tvm.relax.VMExecutable or tvm.runtime.Module
        What `tvm_book.backend.build` returns, or a library loaded from disk.
    inputs, outputs : sequence of TensorSpec
        What `main` takes and returns.
    code : Code
        What the machine code is.
    threads : int, optional
        How many threads a run uses, as in `tvm_book.compile`.
    recipe : tvm_book.quantize.Recipe or bytes, optional
        How the model was quantized; as an object, or as a file keeps it.

    Examples
    --------
    >>> import numpy as np
    >>> from tvm import relax
    >>> import tvm_book
    >>> builder = relax.BlockBuilder()
    >>> a, b = (relax.Var(name, relax.TensorType((3,), "int32")) for name in "ab")
    >>> with builder.function("main", [a, b]):
    ...     _ = builder.emit_func_output(builder.emit(relax.op.subtract(a, b)))
    >>> run = tvm_book.compile(builder.get(), target={"kind": "llvm"}, threads=2)
    >>> run
    CompiledModel(target generic, isa portable, threads 2)
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
        code: Code,
        threads: int | None = None,
        recipe: Recipe | bytes | None = None,
    ) -> None:
        self._recipe = recipe
        self._executable = executable
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._code = code
        self._threads = check_threads(threads) or default_threads()
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
        """What the code was compiled for, kernels excepted."""
        return self._code.target

    @property
    def isa(self) -> str:
        """Instruction set of the kernels, a name that ``tvm_book.compile(isa=...)`` takes."""
        return self._code.isa

    @property
    def threads(self) -> int:
        """How many threads a run uses, if this machine has as many cores."""
        return self._threads

    @property
    def recipe(self) -> Recipe | None:
        """How the model was quantized, if `tvm_book.quantize.quantize` made it; else None."""
        if isinstance(self._recipe, bytes):
            from ..quantize import Recipe  # read when asked for: most models only run

            self._recipe = Recipe.from_bytes(self._recipe, "the recipe of this model")
        return self._recipe

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

    def profile(self, /, *args: Any, repeat: int = 20, **kwargs: Any) -> Profile:
        """Measure the time of each kernel, to see why a model is not faster.

        Parameters
        ----------
        *args, **kwargs : array
            Inputs, as for a call. One that is named like an option below goes by position.
        repeat : int, optional
            Runs of which the medians are taken.

        Returns
        -------
        Profile
            A table with a row for each kernel; its ``explain()`` says what to do.

        Raises
        ------
        TypeError, ValueError
            An input or an option does not fit.

        Examples
        --------
        >>> run.profile(x)  # doctest: +SKIP
        >>> print(run.profile(x).explain())  # doctest: +SKIP
        """
        tensors, main = bind_arguments(self._inputs, args, kwargs), self._main()
        whole = measure(lambda: main(*tensors), repeat=repeat, number=1, warmup=2)
        calls = watch(self._executable, tensors, lambda: use_threads(self._threads), repeat)
        running = use_threads(self._threads)
        rows = profile_rows(calls, self._code.steps, running)
        return Profile(rows, statistics.median(whole.samples) * 1e3, self.isa, running)

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the model to one file, which `tvm_book.load` reads.

        The file is a shared library as `tvm.runtime.load_module` takes it, with a description of
        the inputs and outputs, and the `recipe`, behind it. Linking needs a C++ compiler. A file
        that cannot be finished is not left behind, and never damages one that it was to replace.

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
        OSError
            The system lets this process write no file as large as it takes.
        RuntimeError
            There is no C++ compiler, or it failed, for example on a full disk.

        Examples
        --------
        >>> run.save("model.so")  # doctest: +SKIP
        """
        if not isinstance(self._executable, tvm.runtime.Executable):
            raise ValueError("this model was loaded from a file: copy that file instead")
        description = describe(self._code, self._inputs, self._outputs)
        recipe = b"" if self.recipe is None else self.recipe.to_bytes()
        _library.write(path, self._executable, description, recipe, overwrite)

    def __repr__(self) -> str:
        cpu = self.target.attrs.get("mcpu") or "generic"
        lines = [f"CompiledModel(target {cpu}, isa {self.isa}, threads {self.threads})"]
        lines += [f"  in   {spec}" for spec in self._inputs]
        lines += [f"  out  {spec}" for spec in self._outputs]
        return "\n".join(lines)

    def _main(self) -> Callable[..., Any]:
        if not hasattr(self._per_thread, "main"):
            machine = relax.VirtualMachine(self._executable, tvm.cpu())
            main, threads = machine["main"], self._threads

            def run(*tensors: tvm.runtime.Tensor) -> Any:
                use_threads(threads)
                return main(*tensors)

            self._per_thread.main = run
        return self._per_thread.main


def load(path: str | os.PathLike[str], threads: int | None = None) -> CompiledModel:
    """Load a saved model; `tvm_book.load` documents it."""
    threads = check_threads(threads)
    description, recipe = _library.read_all(path)
    inputs, outputs, code = described(path, description)
    library = _library.open_library(path, description["tvm"])
    return CompiledModel(library, inputs, outputs, code, threads, recipe or None)
