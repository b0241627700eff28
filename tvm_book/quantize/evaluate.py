"""`evaluate`: run a module over data at once, without compiling it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from tvm import IRModule

from .._signature import bind_params, signature
from ._dataset import batches_of, joined
from ._graph import Graph

__all__ = ["evaluate"]


def evaluate(
    mod: IRModule, dataset: Iterable[Mapping[str, Any]], params: Mapping[str, Any] | None = None
) -> np.ndarray:
    """Compute ``main`` on batches, operator by operator, as calibration does.

    For looking at the accuracy of many configurations: nothing is compiled. The integers are those
    that a compiled module computes; sums of floats are added up in another order.

    Parameters
    ----------
    mod : IRModule
        Float or quantized; ``main`` returns one tensor.
    dataset : iterable of mappings from input name to array
        At least one batch.
    params : mapping from name to array, optional
        As `tvm_book.quantize.quantize` takes them.

    Returns
    -------
    numpy.ndarray
        The results of all batches, joined along axis 0; of numbers, an array of them.

    Raises
    ------
    TypeError, ValueError
        If the parameters or the dataset do not fit, or ``main`` returns a tuple.

    Examples
    --------
    >>> from tvm import relax
    >>> x = relax.Var("x", relax.TensorType((1, 2), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     _ = builder.emit_func_output(builder.emit(relax.op.nn.relu(x)))
    >>> evaluate(builder.get(), [{"x": np.float32([[-1, 2]])}, {"x": np.float32([[3, -4]])}])
    array([[0., 2.],
           [3., 0.]], dtype=float32)
    """
    from ._evaluate import Evaluator

    if dataset is None:
        raise ValueError("pass dataset=[{name: array}, ...]: the batches to compute on")
    mod = bind_params(mod, params)
    batches = batches_of(dataset, signature(mod)[0])
    graph = Graph(mod["main"])
    run = Evaluator(graph, [graph.output], mod)
    outputs = [run(batch)[0] for batch in batches]
    if isinstance(outputs[0], tuple):
        raise ValueError(
            f"main returns a tuple of {len(outputs[0])} values; compile the module to run it: "
            "tvm_book.compile(mod)"
        )
    return joined(outputs)
