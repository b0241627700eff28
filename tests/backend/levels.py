"""One Relax function of several operators, run by kernels of a level, or by TVM alone."""

import numpy as np
import tvm
from tvm import relax

from tvm_book.backend import build, cpu_pipeline, isa, resolve_target

TARGET = resolve_target("llvm")
LEVELS = [level.name for level in isa.available(TARGET)]


def module(arrays, operators):
    """Return `main`: a parameter for each array, a result for each operator of all parameters."""
    builder = relax.BlockBuilder()
    params = [
        relax.Var(f"x{i}", relax.TensorType(a.shape, str(a.dtype))) for i, a in enumerate(arrays)
    ]
    with builder.function("main", params):
        with builder.dataflow():
            results = [operator(builder.emit, *params) for operator in operators]
            out = builder.emit_output(relax.Tuple(results))
        builder.emit_func_output(out)
    return builder.get()


def by_kernels(arrays, operators, level, threads=1):
    """Return the results, all of which kernels computed."""
    built = build(module(arrays, operators), TARGET, level, threads)
    assert len(built.calls) >= len(operators)  # none was left to TVM
    return _run(built.executable, arrays)


def by_tvm(arrays, operators):
    """Return what TVM's own loops compute."""
    mod = module(arrays, operators)
    return _run(tvm.compile(mod, TARGET, relax_pipeline=cpu_pipeline(TARGET)), arrays)


def _run(executable, arrays):
    machine = relax.VirtualMachine(executable, tvm.cpu())
    results = machine["main"](*map(tvm.runtime.tensor, arrays))
    return [np.array(result.numpy()) for result in results]
