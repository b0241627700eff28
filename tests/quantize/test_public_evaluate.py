"""`tvm_book.quantize.evaluate.evaluate`: what a compiled module computes, without compiling."""

import numpy as np
import pytest
import torch
from torch import nn
from tvm import relax

import tvm_book
from tvm_book import quantize
from tvm_book.frontend import from_pytorch
from tvm_book.quantize.evaluate import evaluate

SHAPE = (2, 3, 8, 8)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 4, 3)
    return nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def batches():
    rng = np.random.default_rng(0)
    return [{"x": rng.standard_normal(SHAPE).astype("float32")} for _ in range(3)]


def test_float_is_torch(network, batches):
    mod, params = from_pytorch(network, [("x", SHAPE)])
    with torch.no_grad():
        expected = network(torch.from_numpy(np.concatenate([b["x"] for b in batches]))).numpy()
    # Order of float32 sums of 72 terms
    np.testing.assert_allclose(evaluate(mod, batches, params), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("requantize", ["fixed_point", "float"])
def test_integers_are_those_of_the_compiled_module(network, batches, requantize):
    mod, params = from_pytorch(network, [("x", SHAPE)])
    config = quantize.qconfig(preset="accurate", requantize=requantize)
    qmod = quantize.quantize(mod, params, batches, config)
    run = tvm_book.compile(qmod)
    compiled = np.concatenate([run(x=batch["x"]) for batch in batches])
    np.testing.assert_array_equal(evaluate(qmod, batches), compiled)


def test_a_tuple_is_refused():
    x = relax.Var("x", relax.TensorType((1, 2), "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        builder.emit_func_output(builder.emit(relax.Tuple([x, x])))
    with pytest.raises(ValueError, match="tuple of 2 values; compile"):
        evaluate(builder.get(), [{"x": np.zeros((1, 2), "float32")}])


def test_no_dataset(network):
    mod, params = from_pytorch(network, [("x", SHAPE)])
    with pytest.raises(ValueError, match="pass dataset="):
        evaluate(mod, None, params)
    with pytest.raises(ValueError, match="no batch"):
        evaluate(mod, [], params)
