"""Small ONNX graphs for the tests, and their results by ONNX Runtime and by TVM."""

from __future__ import annotations

import numpy as np
import onnxruntime
import tvm
from onnx import helper, numpy_helper
from tvm import relax

from tvm_book.frontend import from_onnx


def info(name, dtype, shape):
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)


def model(nodes, inputs, outputs, stored=None, opset=20):
    """Make a model; inputs and stored tensors are arrays by name, outputs are dtypes by name."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [info(name, array.dtype, array.shape) for name, array in inputs.items()],
        [info(name, np.dtype(dtype), None) for name, dtype in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (stored or {}).items()],
    )
    domains = {"": opset, "com.microsoft": 1}
    opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def runtime(proto, inputs):
    """Return the results of ONNX Runtime, which runs the graph as it stands."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(proto.SerializeToString(), options).run(None, inputs)


def compute(module, params, inputs):
    """Return the results of an imported module."""
    arrays = [tvm.runtime.tensor(array) for array in inputs.values()]
    executable = tvm.compile(relax.transform.BindParams("main", params)(module), "llvm")
    result = relax.VirtualMachine(executable, tvm.cpu())["main"](*arrays)
    results = [result] if isinstance(result, tvm.runtime.Tensor) else list(result)
    return [tensor.numpy() for tensor in results]


def assert_same(results, expected):
    assert len(results) == len(expected)
    for result, wanted in zip(results, expected, strict=True):
        wanted = np.asarray(wanted)
        assert (result.dtype, result.shape) == (wanted.dtype, wanted.shape)
        if wanted.dtype.kind == "f":
            # Sums run in another order, which moves the last bits.
            scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1)
            np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-5 * scale)
        else:
            np.testing.assert_array_equal(result, wanted)


def check(proto, inputs):
    """Import a model, compare its results with ONNX Runtime's, and return the module."""
    module, params = from_onnx(proto)
    assert list(module.functions) == [module.get_global_var("main")]  # operators, no loops
    assert_same(compute(module, params, inputs), runtime(proto, inputs))
    return module, params
