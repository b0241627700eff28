"""The last step of an importer: the function with its parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tvm
from tvm import relax


def finish(
    module: tvm.IRModule, input_count: int, tensors: Mapping[str, np.ndarray]
) -> tuple[tvm.IRModule, dict[str, tvm.runtime.Tensor]]:
    """Drop what is not used; the parameters that stay are in the order of their first use.

    Parameters
    ----------
    module : tvm.IRModule
        Its ``main`` takes the inputs first; free variables are parameters.
    input_count : int
        How many inputs ``main`` has.
    tensors : mapping of str to numpy.ndarray
        The values of the parameters by name; they are copied.

    Returns
    -------
    mod : tvm.IRModule
    params : dict of str to tvm.runtime.Tensor
    """
    with tvm.transform.PassContext():  # whatever the caller's context switches off or prints
        module = relax.transform.DeadCodeElimination()(module)
        function = relax.transform.CanonicalizeBindings()(module)["main"]
    inputs = list(function.params[:input_count])
    parameters = [var for var in relax.analysis.free_vars(function.body) if var not in inputs]
    main = relax.Function(
        inputs + parameters, function.body, function.ret_ty, function.is_pure, function.attrs
    )
    # TVM's convention: what follows that many inputs is a parameter
    main = main.with_attr("num_input", input_count)
    params = {var.name: tvm.runtime.tensor(tensors[var.name]) for var in parameters}
    return tvm.IRModule({"main": main}), params
