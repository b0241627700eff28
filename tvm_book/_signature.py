"""What `main` takes and returns, and which of its inputs are parameters."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import tvm
from tvm import relax

from ._tensors import TensorSpec, to_tensor


def bind_params(mod: tvm.IRModule, params: Mapping[str, Any] | None = None) -> tvm.IRModule:
    """Make constants of those inputs of `main` for which a value is given.

    Parameters
    ----------
    mod : tvm.IRModule
        A Relax module; it is not changed.
    params : mapping of str to array, optional
        The values, by name. They are copied.

    Returns
    -------
    tvm.IRModule
        The module whose `main` takes the other inputs only.

    Raises
    ------
    TypeError
        `mod` is not an IRModule, `params` is not a mapping, or a value has the wrong dtype.
    ValueError
        There is no `main`, a name is unknown, a shape differs, or a parameter got no value:
        importers set the attribute ``num_input`` of `main`, and what follows that many inputs
        is a parameter.

    Examples
    --------
    >>> import numpy as np
    >>> from tvm import relax
    >>> from tvm_book.backend import bind_params
    >>> builder = relax.BlockBuilder()
    >>> x, w = (relax.Var(name, relax.TensorType((2,), "float32")) for name in "xw")
    >>> with builder.function("main", [x, w]):
    ...     _ = builder.emit_func_output(builder.emit(relax.op.add(x, w)))
    >>> mod = bind_params(builder.get(), {"w": np.ones(2, "float32")})
    >>> [var.name for var in mod["main"].params]
    ['x']
    """
    main = _main(mod)
    if params is not None and not isinstance(params, Mapping):
        raise TypeError(
            f"params must be a mapping from names to arrays, not {type(params).__name__}"
        )
    given = dict(params or {})
    names = [var.name for var in main.params]
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"its inputs are {', '.join(names)}"
            raise ValueError(f"params: main has no input {name!r}; {hint}")
    num_input = int((main.attrs or {}).get("num_input", len(names)))
    if missing := [name for name in names[num_input:] if name not in given]:
        raise ValueError(
            f"the parameters {', '.join(missing)} have no value: pass them by name as params=, "
            "for example the second result of tvm_book.frontend.from_pytorch"
        )
    tensors = {
        var.name: to_tensor(_input(var), given[var.name], copy=True, kind="parameter")
        for var in main.params
        if var.name in given
    }
    return relax.transform.BindParams("main", tensors)(mod) if tensors else mod


def signature(mod: tvm.IRModule) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Describe the inputs and outputs of `main`.

    Parameters
    ----------
    mod : tvm.IRModule
        A Relax module.

    Returns
    -------
    inputs, outputs : tuple of TensorSpec
        In order; nested output tuples are listed flat.

    Raises
    ------
    NotImplementedError
        An input has a dynamic shape, or something that is not a tensor goes in or out.

    Examples
    --------
    >>> from tvm import relax
    >>> from tvm_book.backend import signature
    >>> builder = relax.BlockBuilder()
    >>> x = relax.Var("x", relax.TensorType((2, 3), "float32"))
    >>> with builder.function("main", [x]):
    ...     _ = builder.emit_func_output(builder.emit(relax.op.sum(x, axis=[0])))
    >>> inputs, outputs = signature(builder.get())
    >>> print(inputs[0], outputs[0], sep="; ")
    x: float32 (2, 3); output: float32 (3,)
    """
    main = _main(mod)
    return tuple(_input(var) for var in main.params), tuple(_outputs(main.ret_ty, "output"))


def _main(mod: tvm.IRModule) -> relax.Function:
    if not isinstance(mod, tvm.IRModule):
        hint = "convert a PyTorch model with tvm_book.frontend.from_pytorch first"
        if isinstance(mod, tuple):
            hint = "importers return (mod, params): pass mod, and params as params="
        raise TypeError(f"a tvm.IRModule is needed, not {type(mod).__name__}; {hint}")
    names = sorted(var.name_hint for var in mod.get_global_vars())
    if "main" not in names or not isinstance(mod["main"], relax.Function):
        raise ValueError(
            "the module has no Relax function named main, which is what is quantized and compiled; "
            f"it has {', '.join(names) or 'no function at all'}"
        )
    return mod["main"]


def _input(var: relax.Var) -> TensorSpec:
    spec = _tensor(var.ty, var.name, "input")
    if spec.shape is None or None in spec.shape:
        raise NotImplementedError(
            f"input {spec.name!r} has a dynamic shape: {var.ty}. Give every size a number first, "
            "when the model is imported or with tvm.relax.transform.BindSymbolicVars"
        )
    return spec


def _outputs(ty: tvm.ir.Type, name: str) -> list[TensorSpec]:
    if isinstance(ty, tvm.ir.TupleType):
        parts = [_outputs(field, f"{name}[{i}]") for i, field in enumerate(ty.fields)]
        return [spec for part in parts for spec in part]
    return [_tensor(ty, name, "output")]


def _tensor(ty: tvm.ir.Type, name: str, kind: str) -> TensorSpec:
    if not isinstance(ty, relax.TensorType) or ty.dtype is None:
        raise NotImplementedError(f"{kind} {name!r} is not a tensor of known dtype but {ty}")
    if isinstance(ty.shape, relax.ShapeExpr):
        sizes = [int(n.value) if isinstance(n, tvm.tirx.IntImm) else None for n in ty.shape]
        return TensorSpec(name, tuple(sizes), str(ty.dtype))
    shape = None if ty.ndim < 0 else (None,) * ty.ndim
    return TensorSpec(name, shape, str(ty.dtype))
