"""Compile one operator of Relax with TVM: what the table of `_evaluate_ops` lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import tvm
from tvm import IRModule, relax
from tvm.ir import GenericConst

from .._lowering import LOWERING
from ._emitter import Emitter
from ._graph import map_operands, op_name

__all__ = ["compile_call"]

POOLS = ("relax.nn.avg_pool2d",)


def compile_call(
    call: relax.Call, args: Sequence[Any], mod: IRModule | None = None
) -> Callable[[Sequence[Any]], Any]:
    """Compile a function that computes ``call``.

    Parameters
    ----------
    call : tvm.relax.Call
    args : sequence of torch.Tensor or tuple of torch.Tensor
        What the function will be called with. Only scalars in place of constants are looked at:
        some operators need to know them.
    mod : IRModule, optional
        Further functions.

    Returns
    -------
    callable (args) -> torch.Tensor or tuple of torch.Tensor

    Raises
    ------
    NotImplementedError
        If TVM cannot compile the operator.
    """
    params: list[relax.Var] = []
    values = iter(_flat(args))

    def replace(leaf: relax.Expr) -> relax.Expr:
        if isinstance(leaf.ty, tvm.ir.TupleType):
            return relax.Tuple([_parameter(params, next(values)) for _ in leaf.ty.fields])
        value = next(values)
        if isinstance(leaf, GenericConst) and not value.ndim:
            params.append(None)
            return relax.const(value.numpy())
        return _parameter(params, value)

    body = map_operands(call, replace)
    used = [param for param in params if param is not None]
    emitter = Emitter()
    function = emitter.function(used, emitter.emit(body), {"global_symbol": "main"})
    whole = IRModule() if mod is None else mod.clone()
    whole["main"] = function
    run = relax.VirtualMachine(_compile(whole, call), tvm.cpu())["main"]

    def evaluate(args: Sequence[Any]) -> Any:
        tensors = zip(params, _flat(args), strict=True)
        result = run(*(_to_tvm(value) for param, value in tensors if param is not None))
        return _declared(call, _to_torch(result))

    return evaluate


def _declared(call: relax.Call, value: Any) -> Any:
    """Return a pool in the dtype that Relax says: TVM's loops widen integers, kernels do not."""
    if op_name(call) not in POOLS:
        return value
    return value.to(getattr(torch, str(call.ty.dtype)))


def _parameter(params: list, value: torch.Tensor) -> relax.Var:
    dtype = str(value.dtype).removeprefix("torch.")
    params.append(relax.Var(f"x{len(params)}", relax.TensorType(tuple(value.shape), dtype)))
    return params[-1]


def _compile(mod: IRModule, call: relax.Call) -> relax.VMExecutable:
    try:
        with LOWERING:
            return tvm.compile(mod, "llvm")
    except tvm.error.InternalError as error:
        if "Offending call" not in str(error):
            raise
        raise NotImplementedError(
            f"the operator {op_name(call)} cannot be evaluated: TVM knows no loops for it. Replace "
            "it in the model, or give it a legalization: "
            f"tvm.ir.register_op_attr({op_name(call)!r}, 'FLegalize', ...)"
        ) from None


def _flat(args: Sequence[Any]) -> list[torch.Tensor]:
    return [
        value for arg in args for value in (_flat(arg) if isinstance(arg, (tuple, list)) else [arg])
    ]


def _to_tvm(value: torch.Tensor) -> tvm.runtime.Tensor:
    return tvm.runtime.tensor(value.numpy())


def _to_torch(value: Any) -> Any:
    if isinstance(value, tvm.runtime.Tensor):
        return torch.from_numpy(value.numpy())
    return tuple(_to_torch(value[i]) for i in range(len(value)))
