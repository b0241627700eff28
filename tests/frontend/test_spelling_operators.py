"""Operators that torch would take apart come out in few Relax operators, from every kind of model.

The quantizer and the backends look for these forms.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import tvm
from torch import nn
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R

from tvm_book.frontend import from_pytorch

# What torch warns about when a test itself traces or exports.
pytestmark = pytest.mark.filterwarnings(
    *(f"ignore::{kind}" for kind in ("FutureWarning", "DeprecationWarning", "UserWarning")),
    "ignore::torch.jit.TracerWarning",
)
KINDS = {
    "module": lambda model, x: model,
    "traced": lambda model, x: torch.jit.trace(model, x, check_trace=False),
    "exported": lambda model, x: torch.export.export(model, (x,)),
}


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def activations(x):
    return (
        F.hardswish(x),
        F.hardsigmoid(x),
        F.relu6(x),
        F.silu(x),
        F.gelu(x),
        F.gelu(x, approximate="tanh"),
    )


@I.ir_module
class Activations:
    @R.function
    def main(x: R.Tensor((2, 3, 4, 8), "float32")):
        with R.dataflow():
            gate = R.clip(R.add(x, R.const(3, "float32")), 0.0, 6.0)
            swish = R.multiply(x, R.multiply(gate, R.const(1 / 6, "float32")))
            clipped = R.clip(R.add(x, R.const(3, "float32")), 0.0, 6.0)
            hard = R.multiply(clipped, R.const(1 / 6, "float32"))
            relu6 = R.clip(x, 0.0, 6.0)
            smooth = R.multiply(x, R.sigmoid(x))
            result = (swish, hard, relu6, smooth, R.nn.gelu(x), R.nn.gelu_tanh(x))
            R.output(result)
        return result


def attention(x):
    return F.scaled_dot_product_attention(x, x, x)


@I.ir_module
class Attention:
    @R.function
    def main(x: R.Tensor((2, 3, 4, 8), "float32")):
        with R.dataflow():
            scores = R.matmul(x, R.permute_dims(x, [0, 1, 3, 2]))
            scaled = R.multiply(scores, R.const(1 / math.sqrt(8), "float32"))
            result = R.matmul(R.nn.softmax(scaled, axis=-1), x)
            R.output(result)
        return result


def padding(x):
    y = F.pad(F.pad(x, (1, 2), value=1.5), (0, 1, 2, 1), mode="reflect")
    return F.pad(y, (1, 1, 1, 1), mode="replicate")


@I.ir_module
class Padding:
    @R.function
    def main(x: R.Tensor((2, 3, 4, 8), "float32")):
        with R.dataflow():
            y = R.nn.pad(x, [0, 0, 0, 0, 0, 0, 1, 2], "constant", 1.5)
            z = R.nn.pad(y, [0, 0, 0, 0, 2, 1, 0, 1], "reflect", 0.0)
            result = R.nn.pad(z, [0, 0, 0, 0, 1, 1, 1, 1], "replicate", 0.0)
            R.output(result)
        return result


def pools(x):
    largest = F.adaptive_max_pool2d(x, (2, 4))
    rows = F.avg_pool1d(F.adaptive_max_pool1d(x[0], 4), 2)
    return largest, rows, F.avg_pool2d(x, 2, divisor_override=3)


@I.ir_module
class Pools:
    @R.function
    def main(x: R.Tensor((2, 3, 4, 8), "float32")):
        with R.dataflow():
            largest = R.nn.max_pool2d(x, [2, 2], strides=[2, 2])
            first = R.squeeze(R.strided_slice(x, [0], [0], [1]), [0])
            few = R.nn.max_pool1d(first, [2], strides=[2])
            rows = R.nn.avg_pool1d(few, [2], strides=[2], count_include_pad=True)
            padded = R.nn.pad(x, [0] * 8)
            mean = R.nn.avg_pool2d(padded, [2, 2], strides=[2, 2], count_include_pad=True)
            result = (largest, rows, R.multiply(mean, R.const(4 / 3, "float32")))
            R.output(result)
        return result


def resizing(x):
    return F.interpolate(x, scale_factor=2), F.interpolate(x, size=(3, 5), mode="bilinear")


@I.ir_module
class Resizing:
    @R.function
    def main(x: R.Tensor((2, 3, 4, 8), "float32")):
        with R.dataflow():
            nearest = R.image.resize2d(
                x,
                (8, 16),
                method="nearest_neighbor",
                coordinate_transformation_mode="asymmetric",
                rounding_method="floor",
            )
            smooth = R.image.resize2d(x, (3, 5), method="linear")
            result = (nearest, smooth)
            R.output(result)
        return result


def fractional(x):
    return F.interpolate(x, scale_factor=(1, 1.3))


ROWS = np.floor(np.arange(10) / 1.3).astype("int64")  # 8 * 1.3 gives 10


@I.ir_module
class Fractional:
    @R.function
    def main(x: R.Tensor((2, 3, 4, 8), "float32")):
        with R.dataflow():
            result = R.take(x, R.const(ROWS, "int64"), axis=3, mode="clip")
            R.output(result)
        return result


CASES = {
    "activations": (activations, Activations),
    "attention": (attention, Attention),
    "padding": (padding, Padding),
    "pools": (pools, Pools),
    "resizing": (resizing, Resizing),
    "fractional": (fractional, Fractional),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_spelling(case, kind):
    function, expected = CASES[case]
    x = torch.randn(2, 3, 4, 8)
    module, _ = from_pytorch(KINDS[kind](Call(function), x), [("x", tuple(x.shape))])
    main = expected["main"].with_attr("num_input", 1)
    expected = relax.transform.Normalize()(tvm.IRModule({"main": main}))
    tvm.ir.assert_structural_equal(module, expected, map_free_vars=True)
