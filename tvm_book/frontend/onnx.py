"""Bring ONNX models to Relax."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ._lock import IMPORTING
from ._quiet import quiet

if TYPE_CHECKING:
    import onnx
    import tvm


def from_onnx(
    model: str | os.PathLike | onnx.ModelProto,
    input_shapes: list[tuple[str, Any]] | dict[str, Any] | None = None,
) -> tuple[tvm.IRModule, dict[str, tvm.runtime.Tensor]]:
    """Convert an ONNX model to a Relax module and its parameters.

    Needs the package onnx, which ``pip install "tvm-book[onnx]"`` brings.

    Parameters
    ----------
    model : str, os.PathLike or ModelProto
        The file, or the model in memory; it is not changed. Opsets from 13 on are read as they
        are, older ones after a conversion by onnx itself.
    input_shapes : list of (name, shape) or dict, optional
        The shapes of inputs whose shape in the model is dynamic, by name, in any order; inputs with
        a static shape may be left out. Instead of a shape, ``(shape, dtype)`` is understood too.

    Returns
    -------
    mod : tvm.IRModule
        Its function ``main`` takes the inputs of the graph under their names, then one parameter
        per tensor of the model that is in use, in the order of first use; the attribute
        ``num_input`` counts the inputs. It has one dataflow block, and every shape is static. A
        single result is a tensor, several are a tuple.
    params : dict[str, tvm.runtime.Tensor]
        The parameters by the names of the initializers. Scalars, and integers other than quantized
        weights and biases, are constants of ``main`` instead.

    Raises
    ------
    ImportError
        The package onnx is not installed.
    FileNotFoundError, IsADirectoryError
        `model` is a path where there is no file.
    ValueError
        The file is no ONNX model, is cut off, or lacks a file with its tensors; the graph is not
        valid; an input has a dynamic shape that `input_shapes` does not fix; `input_shapes` names
        an unknown input, or does not fit the model.
    TypeError
        `model` is neither a path nor a model, or `input_shapes` is no list of pairs.
    UnsupportedModelError
        The model has no Relax form: an operator without a conversion, shapes or branches that
        depend on values, tensors that are neither float32 nor quantized. The message names the
        operator and its node.

    Notes
    -----
    Operators are spelled as `from_pytorch` spells them, as far as an ONNX file still tells them
    apart, and the two are interchangeable before ``quantize``:

    ==========================  ==========================================================
    ONNX                        Relax
    ==========================  ==========================================================
    Conv with bias              ``R.add(R.nn.conv2d(x, w), R.reshape(b, (1, C, 1, 1)))``
    Gemm                        ``R.add(R.matmul(x, R.permute_dims(w)), R.reshape(b, (1, N)))``
    MatMul, then Add of a       ``R.add(R.matmul(x, w), R.reshape(b, (1, 1, N)))``
    vector of the model
    BatchNormalization          ``R.nn.batch_norm(x, gamma, beta, mean, var)[0]``
    Reshape, Flatten            ``R.reshape(x, shape)``
    Clip                        ``R.clip(x, min, max)``
    GlobalAveragePool           ``R.nn.adaptive_avg_pool2d(x, (1, 1))``
    Gather at a known place     ``R.squeeze(R.strided_slice(x, ...), axis)``
    QuantizeLinear              ``R.quantize(x, scale, zero_point, axis, out_dtype)``
    DequantizeLinear            ``R.dequantize(q, scale, zero_point, axis, "float32")``
    QLinearConv and its like    the float operator between dequantize and quantize
    LSTM, GRU, RNN              one step after the other, with constant weights
    ==========================  ==========================================================

    In a quantized model, scales and zero points are constants: 0-d with ``axis=-1`` per tensor, 1-d
    with the axis counted from the front per channel. What the nodes compute from shapes and
    constants is evaluated at import by onnx's reference implementation, and not in the module.

    Variables have the name of the module that computes them, for `module_path`, like those of
    `from_pytorch`. It is read off the weight (``layer1.0.conv1.weight``); else off the notes that
    the exporters of torch leave; else it is the name of the node, except for those at the top level
    of a torch model.

    The work is done by the converters of TVM's ``relax.frontend.onnx`` where they are exact and
    have this spelling. An operator that neither knows is taken apart as its ONNX definition says,
    if it has one. The specification is https://onnx.ai/onnx/operators.

    Examples
    --------
    >>> import numpy as np
    >>> from onnx import helper, numpy_helper
    >>> from tvm_book.frontend import from_onnx, module_path
    >>> conv = helper.make_node("Conv", ["data", "stem.weight"], ["y"])
    >>> data = helper.make_tensor_value_info("data", 1, ["N", 3, 8, 8])
    >>> y = helper.make_tensor_value_info("y", 1, ["N", 4, 6, 6])
    >>> weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), "float32"), "stem.weight")
    >>> model = helper.make_model(helper.make_graph([conv], "net", [data], [y], [weight]))
    >>> mod, params = from_onnx(model, {"data": (1, 3, 8, 8)})
    >>> [variable.name for variable in mod["main"].params]
    ['data', 'stem.weight']
    >>> [module_path(binding.var) for binding in mod["main"].body.blocks[0].bindings]
    ['stem']
    >>> print(mod["main"].ret_ty)
    R.Tensor((1, 4, 6, 6), dtype="float32")
    """
    try:
        import onnx  # noqa: F401 - optional, and only this function needs it
    except ImportError as error:
        raise ImportError(
            'from_onnx needs the package onnx: pip install "tvm-book[onnx]"'
        ) from error
    from ._onnx_load import load, model_inputs
    from ._onnx_to_relax import to_relax

    with IMPORTING, quiet("onnx"):
        proto = load(model)
        return to_relax(proto, model_inputs(proto, input_shapes))
