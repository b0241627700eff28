"""The integer module computes what ``do_simulation`` does in float, and both what torch does.

Where the two differ: a bias is rounded to the steps of its accumulator, so that sums within half
such a step of a tie are rounded to the other side.
"""

import numpy as np
import pytest
import torch

import tvm_book
from tests.quantize.affine.modules import IMAGE, MODULES, SEQUENCE, SEQUENCES
from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig, quantize
from tvm_book.quantize._evaluate import Evaluator
from tvm_book.quantize._graph import Graph
from tvm_book.testing.metric import sqnr_db

# One rounding to 255 steps of what reaches to four standard deviations: 20 log10(255 / 8) + 10.8
# = 41 dB; 16 dB with 15 steps. Six of them, of data and weights, together 8 dB less.
SQNR = {8: 33.0, 4: 8.0}


def results(name, bits=8, **options):
    """Return the outputs of the simulated and the integer module, and of torch."""
    shape = SEQUENCE if name in SEQUENCES else IMAGE
    rng = np.random.default_rng(0)
    data = [{"x": rng.standard_normal(shape).astype("float32")} for _ in range(2)]
    mod, params = from_pytorch(MODULES[name], [("x", shape)])
    options = {"calibrate_mode": "minmax", "bias_correction": False, **options}
    options["weight_rounding"] = "nearest"  # the fastest; the arithmetic is the same
    options |= {"preset": "accurate", "nbit_input": bits, "nbit_weight": bits}
    simulated, integer = (
        quantize(mod, params, data, QConfig(do_simulation=simulate, **options))
        for simulate in (True, False)
    )
    graph = Graph(simulated["main"])
    (in_float,) = Evaluator(graph, [graph.output], simulated)(data[0])
    exact = MODULES[name](torch.from_numpy(data[0]["x"]))
    in_integers = tvm_book.compile(integer)(data[0]["x"])
    return zip(*map(_as_tuple, (in_float, in_integers, exact)), strict=True)


def _as_tuple(value):
    return value if isinstance(value, (tuple, list)) else (value,)


def check(name, bits, lost=0, **options):
    for in_float, in_integers, exact in results(name, bits, **options):
        step = np.ptp(in_float) / (2**bits - 1)
        error = np.abs(in_integers - in_float) / step
        # An element on the other side of a tie is one step off, and moves what reads it by that
        # times a weight: less than a step. One in a thousand is, where half a step of an
        # accumulator is that part of a step of the result, and a hundred elements read it; with 4
        # bits, every element is off by up to half a step of an accumulator, a quarter of its own.
        assert error.max() <= 1
        assert error.mean() <= {8: 0.1, 4: 0.25}[bits]
        assert sqnr_db(exact.numpy(), in_integers) >= SQNR[bits] - lost


@pytest.mark.parametrize("name", MODULES)
def test_eight_bits(name):
    check(name, 8)


@pytest.mark.parametrize("name", ["residual", "depthwise_relu6", "silu", "concat", "attention"])
def test_four_bits(name):
    check(name, 4)


@pytest.mark.parametrize("name", ["residual", "depthwise_relu6", "squeeze_excite", "concat"])
def test_requantize_in_float(name):
    check(name, 8, requantize="float")


@pytest.mark.parametrize("name", ["residual", "avg_pool_with_border", "attention", "pad_0"])
def test_symmetric_activations(name):
    check(name, 8, lost=6, symmetric_input=True)  # positive tensors use half of their grid
