"""Bring PyTorch models to Relax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._inputs import parse_input_shapes
from ._lock import IMPORTING
from ._quiet import quiet

if TYPE_CHECKING:
    import torch
    import tvm


def from_pytorch(
    model: torch.nn.Module | torch.jit.ScriptModule | torch.export.ExportedProgram,
    input_shapes: list[tuple[str, Any]],
) -> tuple[tvm.IRModule, dict[str, tvm.runtime.Tensor]]:
    """Convert a PyTorch model to a Relax module and its parameters.

    The model is converted as it computes in eval mode, on the CPU, in float32. A module in training
    mode is copied first; neither its mode nor its tensors change, and `params` are copies. A traced
    module or an exported program has its mode recorded inside, so it must have been made after
    ``model.eval()``.

    Parameters
    ----------
    model
        A ``torch.nn.Module``, the result of ``torch.jit.trace`` (one of ``torch.jit.script`` works
        too if its control flow does not depend on values), or a ``torch.export.ExportedProgram``.
        All three give the same Relax, except that a traced module comes with equal subexpressions
        merged.
    input_shapes
        One ``(name, shape)`` per argument of ``forward``, in the order of the arguments. The names
        are free. The dtype is float32; for another one write ``(name, (shape, dtype))``.

    Returns
    -------
    mod : tvm.IRModule
        Its function ``main`` takes the inputs under the given names, then one parameter per tensor
        of the model that is in use, in the order of first use. It has one dataflow block, and every
        shape is static. A single result is a tensor, several are a tuple; nested results are
        flattened in order.
    params : dict[str, tvm.runtime.Tensor]
        The parameters by their names in the model, such as ``"layer1.0.bn1.running_mean"``. These
        are also the names of the variables of ``main`` (TVMScript prints ``.`` as ``_``), so
        ``relax.transform.BindParams("main", params)`` makes constants of them.

    Raises
    ------
    UnsupportedModelError
        The model has no Relax form: an operator without a conversion, randomness, control flow or
        sizes that depend on values, state that changes, a result that is not a tensor, tensors
        that are not float32 or not on the CPU. The message says what, where, and what to try.
    TypeError
        `model` is no PyTorch model, or `input_shapes` is not a list of pairs.
    ValueError
        The inputs do not fit the model, have a bad size or dtype, or share a name with each other
        or with a parameter.

    Notes
    -----
    Some operators always get the same spelling, whichever way the model came in:

    ==================  ============================================================
    PyTorch             Relax
    ==================  ============================================================
    conv with bias      ``R.add(R.nn.conv2d(x, w), R.reshape(b, (1, C, 1, 1)))``
    linear with bias    ``R.add(R.matmul(x, R.permute_dims(w)), R.reshape(b, (1, N)))``
    ``x + self.b``      ``R.add(x, b)``, with ``b`` in its own shape
    batch norm          ``R.nn.batch_norm(x, gamma, beta, mean, var)[0]``
    flatten             ``R.squeeze(R.reshape(x, (N, K, 1, 1)), axis=[2, 3])``
    view, reshape       ``R.reshape(x, shape)``
    clamp, relu6        ``R.clip(x, min, max)``
    a Python number     a 0-d ``R.const`` of the tensor's dtype
    ==================  ============================================================

    Each result is bound to a variable with the name of the innermost module that computes it, such
    as ``layer1.0.conv1``; `tvm_book.frontend.module_path` reads it. All operators of one layer have
    that name in common, and a layer that is called twice has it twice: TVMScript prints
    ``layer1_0_conv1``, ``layer1_0_conv1_1``. What the model itself computes has the names that
    Relax makes up (``lv``, ``gv``). A traced module has forgotten its modules, so there only
    operators that read a parameter are named, after the module that owns it.

    Writing flatten as reshape and squeeze is what Relay's importer did, and the Relay quantizer
    treats the two differently. The work is done by ``torch.export``, whose program is decomposed to
    Core ATen unless it holds none but common operators, which are spelled so at once, and by the
    converters of TVM's ``relax.frontend.torch`` where they are exact.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from tvm_book.frontend import from_pytorch
    >>> model = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())
    >>> mod, params = from_pytorch(model, [("data", (1, 16, 4, 4))])
    >>> [(name, tuple(value.shape)) for name, value in params.items()]
    [('0.weight', (16, 16, 3, 3)), ('0.bias', (16,))]
    >>> [variable.name for variable in mod["main"].params]
    ['data', '0.weight', '0.bias']
    >>> print(mod["main"].ret_ty)
    R.Tensor((1, 16, 4, 4), dtype="float32")

    >>> [binding.var.name for binding in mod["main"].body.blocks[0].bindings]
    ['.0', '.0', '.0', '.1']

    A table look-up takes integers:

    >>> mod, params = from_pytorch(nn.Embedding(100, 8), [("ids", ((1, 5), "int64"))])
    >>> print(mod["main"].params[0].ty)
    R.Tensor((1, 5), dtype="int64")
    """
    # torch takes long to import, and only this function needs it.
    from ._torch_capture import capture, plain_torch
    from ._torch_simplify import simplify
    from ._torch_to_relax import to_relax

    inputs = parse_input_shapes(input_shapes)
    with IMPORTING, quiet("torch"), plain_torch():
        captured = capture(model, inputs)
        return to_relax(simplify(captured), inputs)
