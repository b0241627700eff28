"""Small Relax modules that kernels compute, several cases in each, and values that hurt."""

import numpy as np
import tvm
from hypothesis import HealthCheck, settings
from tvm import relax

from tests.backend.levels import TARGET
from tvm_book.backend import build

# A class of `examples` modules is compiled for each level; threads are drawn.
EXAMPLES = settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow])


def outputs(cases, level, threads, anchors=None):
    """Compile (function of emit and variables, arrays) and return the results.

    `anchors` are operators; each case must contain one of them as a kernel of its own.
    """
    builder, params, results = relax.BlockBuilder(), [], []
    for _, arrays in cases:
        types = [relax.TensorType(x.shape, str(x.dtype)) for x in arrays]
        params.append([relax.Var("x", ty) for ty in types])
    with builder.function("main", [p for group in params for p in group]):
        with builder.dataflow():
            results = [f(builder.emit, *p) for (f, _), p in zip(cases, params, strict=True)]
            out = builder.emit_output(relax.Tuple(results))
        builder.emit_func_output(out)
    built = build(builder.get(), TARGET, level, threads)
    if anchors:
        kernels = [call.operators[0] for call in built.calls]
        assert sum(name in anchors for name in kernels) >= len(cases), kernels
    machine = relax.VirtualMachine(built.executable, tvm.cpu())
    inputs = [tvm.runtime.tensor(x) for _, arrays in cases for x in arrays]
    return [y.numpy() for y in machine["main"](*inputs)]


def values(rng, shape, dtype):
    """Random numbers; of int8 many of the ends."""
    if dtype == "float32":
        return rng.normal(size=shape).astype(dtype)
    return rng.choice(np.array([-128, -128, -127, -1, 0, 5, 127], dtype), shape)
