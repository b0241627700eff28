"""Modules whose differences tests of the instruments know."""

import numpy as np
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R


@I.ir_module
class Unused:
    """Has a line that dead code elimination takes out."""

    @R.function
    def main(x: R.Tensor((4,), "float32")) -> R.Tensor((4,), "float32"):
        with R.dataflow():
            unused = R.exp(x)  # noqa: F841
            y = R.nn.relu(x)
            R.output(y)
        return y


@I.ir_module
class Clean:
    """Is what dead code elimination makes of `Unused`."""

    @R.function
    def main(x: R.Tensor((4,), "float32")) -> R.Tensor((4,), "float32"):
        with R.dataflow():
            y = R.nn.relu(x)
            R.output(y)
        return y


def with_constant(value):
    """Return a module whose script does not tell its constant: that is too large to be printed."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((64,), "float32"))
    with builder.function("main", [x]):
        constant = relax.const(np.full(64, value, "float32"))
        builder.emit_func_output(builder.emit(relax.op.add(x, constant)))
    return builder.get()
