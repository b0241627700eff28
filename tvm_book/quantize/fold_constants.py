"""Compute what depends on constants only, without compiling it as Relax's own pass does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from tvm import relax
from tvm.ir import GenericConst

from ._graph import Rebuilder, operands, to_numpy

__all__ = ["FoldConstants", "folded"]


class FoldConstants(Rebuilder):
    """An operator whose operands are all constants becomes a constant."""

    def visit(self, var, expr):
        """Rewrite one binding."""
        constants = [self[leaf] for leaf in operands(expr)]
        single = isinstance(expr, relax.Call) and isinstance(var.ty, relax.TensorType)
        if not single or not constants:
            return self.copy(expr)
        if not all(isinstance(constant, GenericConst) for constant in constants):
            return self.copy(expr)
        return folded(expr, constants)


def folded(call: relax.Call, constants: Sequence[GenericConst]) -> GenericConst:
    """Return the constant that an operator makes of constants.

    Examples
    --------
    >>> one = relax.const([1.0, 2.0], "float32")
    >>> folded(relax.BlockBuilder().normalize(relax.op.negative(one)), [one]).value.numpy()
    array([-1., -2.], dtype=float32)
    """
    import torch

    from ._evaluate import evaluate_call

    tensors = iter([torch.from_numpy(np.array(to_numpy(constant))) for constant in constants])
    values = [_tensors(arg, tensors) for arg in call.args]
    value = evaluate_call(call, [value for value in values if value is not None])
    array = np.array(value.numpy(), order="C")  # a number stays 0-d
    return relax.const(array, str(call.ty.dtype))


def _tensors(arg: relax.Expr, tensors: Iterator):
    if isinstance(arg, relax.Tuple):
        return tuple(_tensors(field, tensors) for field in arg.fields)
    return next(tensors) if isinstance(arg, (relax.Var, GenericConst)) else None
