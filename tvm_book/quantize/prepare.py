"""The canonical float form that the other passes start from: one small rewrite a pass."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax
from tvm.ir import GenericConst

from .._lowering import LOWERING
from . import ops
from ._fold_scale_axis import BackwardFoldScaleAxis, ForwardFoldScaleAxis
from ._graph import Rebuilder, op_name, to_numpy
from .config import QConfig

__all__ = ["SimplifyInference", "fold_constants", "prerequisite_passes"]

_LAYERS = ("relax.nn.conv1d", "relax.nn.conv2d", "relax.matmul")


def prerequisite_passes(_config: QConfig) -> list[tvm.transform.Pass]:
    """Relay's prerequisite optimizations, in its order.

    Scales are folded into weights, and biases become ordinary additions, only from ``opt_level`` 3
    of the surrounding `tvm.transform.PassContext` on.

    Returns
    -------
    list of tvm.transform.Pass
    """
    opt_level = tvm.transform.PassContext.current().opt_level
    passes = [
        RecogniseBias.as_pass(),
        SimplifyInference.as_pass(),
        GroupedConv1dToConv2d.as_pass(),
        fold_constants(),
    ]
    if opt_level >= 3:
        passes += [
            BackwardFoldScaleAxis.as_pass(),
            ForwardFoldScaleAxis.as_pass(),
            CanonicalizeBias.as_pass(),
        ]
    return passes


def fold_constants() -> tvm.transform.Pass:
    """Return Relax's ``FoldConstant``, which lowers what it folds, for one thread at a time."""

    def transform(mod, context):
        # a context of its own: instruments have seen the pass already
        with LOWERING, tvm.transform.PassContext(opt_level=context.opt_level):
            return relax.transform.FoldConstant()(mod)

    return tvm.transform.module_pass(transform, opt_level=0, name="FoldConstant")


class RecogniseBias(Rebuilder):
    """``add(layer, reshape(b))`` with a 1-d constant ``b`` becomes ``bias_add(layer, b)``.

    The reshape is the importers' spelling of a layer's own bias; an addition that the model itself
    makes has no such reshape and stays as it is.
    """

    def visit(self, var, expr):
        """Rewrite one binding."""
        if op_name(expr) != "relax.add":
            return self.copy(expr)
        x, shifted = expr.args
        layer, bias = op_name(self.graph.value(x)), self.graph.value(shifted)
        if layer not in _LAYERS or op_name(bias) != "relax.reshape":
            return self.copy(expr)
        channels = len(x.ty.shape) - 1 if layer == "relax.matmul" else 1
        aligned = [1] * len(x.ty.shape)
        aligned[channels] = int(x.ty.shape[channels])
        if not isinstance(bias.args[0], GenericConst) or len(bias.args[0].ty.shape) != 1:
            return self.copy(expr)
        if [int(extent) for extent in bias.ty.shape] != aligned:
            return self.copy(expr)
        # Relay counted the axis of linear layers from the end; folding scales minds the difference
        axis = -1 if layer == "relax.matmul" else 1
        return self.builder.emit(ops.bias_add(self[x], bias.args[0], axis=axis))


class SimplifyInference(Rebuilder):
    """Batch norm becomes a multiplication and an addition; dropout disappears.

    As at inference, whatever the operator's ``training`` says: quantization comes after training.
    """

    def __getitem__(self, leaf):
        """Return the value of an operand; the statistics that training makes have none."""
        value = super().__getitem__(leaf)
        if value is None:
            raise _reads_statistics(self.graph.value(leaf))
        return value

    def visit(self, var, expr):
        """Rewrite one binding."""
        if op_name(expr) in _TRAINING_OPS:
            return None  # dissolved where its first result is read
        if not isinstance(expr, relax.TupleGetItem):
            return self.copy(expr)
        source = self.graph.value(expr.tuple_value)
        if op_name(source) not in _TRAINING_OPS:
            return self.copy(expr)
        if expr.index != 0:
            raise _reads_statistics(source)
        return _TRAINING_OPS[op_name(source)](self, source)


def _reads_statistics(source: relax.Expr) -> ValueError:
    return ValueError(
        f"main reads statistics of {op_name(source)}; put the model into eval() mode before "
        "converting it"
    )


def _batch_norm(rebuilder: Rebuilder, call: relax.Call) -> relax.Expr:
    if not all(isinstance(arg, GenericConst) for arg in call.args[1:]):
        raise ValueError("batch_norm has run-time parameters; pass params= to quantize")
    x = rebuilder[call.args[0]]
    gamma, beta, mean, variance = (to_numpy(arg) for arg in call.args[1:])
    # Relay's order of the float32 operations, on which the last bit depends
    factor = np.float32(1) / np.sqrt(variance + np.float32(call.attrs.epsilon))
    if call.attrs.scale:
        factor = factor * gamma
    shift = (-mean) * factor
    if call.attrs.center:
        shift = shift + beta
    rank = len(x.ty.shape)
    shape = (-1,) + (1,) * (rank - 1 - int(call.attrs.axis) % rank)
    emit = rebuilder.builder.emit
    scaled = emit(relax.op.multiply(x, relax.const(factor.reshape(shape))))
    return emit(relax.op.add(scaled, relax.const(shift.reshape(shape))))


_TRAINING_OPS = {
    "relax.nn.batch_norm": _batch_norm,
    "relax.nn.dropout": lambda rebuilder, call: rebuilder[call.args[0]],
}


class GroupedConv1dToConv2d(Rebuilder):
    """Grouped conv1d becomes conv2d on an image of height 1, as Relay imported it."""

    def visit(self, var, expr):
        """Rewrite one binding."""
        if op_name(expr) != "relax.nn.conv1d" or int(expr.attrs.groups) == 1:
            return self.copy(expr)
        attrs, emit = expr.attrs, self.builder.emit
        if (attrs.data_layout, attrs.kernel_layout) != ("NCW", "OIW"):
            return self.copy(expr)
        left, right = (int(p) for p in attrs.padding)
        image, kernel = (emit(relax.op.expand_dims(self[arg], 2)) for arg in expr.args)
        wide = relax.op.nn.conv2d(
            image,
            kernel,
            strides=(1, int(attrs.strides[0])),
            padding=(0, left, 0, right),
            dilation=(1, int(attrs.dilation[0])),
            groups=int(attrs.groups),
        )
        return emit(relax.op.squeeze(emit(wide), [2]))


class CanonicalizeBias(Rebuilder):
    """``bias_add`` becomes ``add``, which stays in integers where ``bias_add`` does not."""

    def visit(self, var, expr):
        """Rewrite one binding."""
        if not ops.is_op(expr, "relax.nn.bias_add"):
            return self.copy(expr)
        x, bias = expr.args
        return self.builder.emit(relax.op.add(self[x], broadcastable_bias(bias, expr)))


def broadcastable_bias(bias: GenericConst, call: relax.Call) -> GenericConst:
    """Reshape the 1-d constant of a ``bias_add`` so that a plain addition broadcasts it."""
    rank = len(call.ty.shape)
    axis = int(call.attrs["axis"]) % rank
    return relax.const(to_numpy(bias).reshape((-1,) + (1,) * (rank - 1 - axis)))
