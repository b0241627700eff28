"""Functions of float32: the error against float64 over all floats, limits, and NaN."""

import numpy as np
import pytest
import torch
from tvm import relax
from tvm.relax import op

from tests.backend.levels import LEVELS, by_kernels, by_tvm
from tvm_book.quantize import ops

F = torch.nn.functional


def constant(values, dtype="float32"):
    return relax.const(np.array(values, dtype), dtype)


FUNCTIONS = {
    "exp": (op.exp, torch.exp),
    "log": (op.log, torch.log),
    "tanh": (op.tanh, torch.tanh),
    "sigmoid": (op.sigmoid, torch.sigmoid),
    "erf": (op.erf, torch.special.erf),
    "silu": (op.nn.silu, F.silu),
    "gelu": (op.nn.gelu, F.gelu),
    "gelu_tanh": (op.nn.gelu_tanh, lambda x: F.gelu(x, approximate="tanh")),
    "selu": (op.nn.selu, F.selu),
    "softplus": (op.nn.softplus, F.softplus),
    "cube": (lambda x: op.power(x, constant(3.0)), lambda x: x**3),
    "inverse": (lambda x: op.power(x, constant(-1.0)), torch.reciprocal),
    "root": (lambda x: op.power(x, constant(0.5)), torch.sqrt),
    "sqrt": (op.sqrt, torch.sqrt),
    "rsqrt": (op.rsqrt, torch.rsqrt),
}
# Relative error of float32 functions whose argument and result are rounded once: a few units in
# the last place, 6e-8 each; the quotient of erf and tanh's division round more often.
LARGEST = {"exp": 1.2e-7, "log": 1.2e-7, "sqrt": 6e-8, "rsqrt": 1.2e-7, "erf": 5e-7}
ABSOLUTE = 1e-7  # what a result near zero may be wrong by


def _numbers():
    # Every 65521st pattern of bits: all exponents, both signs, subnormal numbers.
    patterns = np.arange(0, 2**32, 65521, dtype="uint64").astype("uint32").view("float32")
    patterns = patterns[np.isfinite(patterns)]
    lines = [np.linspace(-end, end, 20001, dtype="float32") for end in (0.01, 1, 12, 110)]
    return np.concatenate([patterns, *lines])


NUMBERS = _numbers()


@pytest.fixture(scope="module")
def truth():
    numbers = torch.from_numpy(NUMBERS).double()
    return {name: function(numbers).numpy() for name, (_, function) in FUNCTIONS.items()}


@pytest.fixture(scope="module", params=LEVELS)
def computed(request):
    edges = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 3.4e38, -3.4e38, 1e-45], "float32")
    operators = [lambda emit, x, _, o=o: emit(o(x)) for o, _ in FUNCTIONS.values()]
    operators += [lambda emit, _, x, o=o: emit(o(x)) for o, _ in FUNCTIONS.values()]
    results = by_kernels([NUMBERS, edges], operators, request.param)
    names = [*FUNCTIONS, *(f"{name} of edges" for name in FUNCTIONS)]
    return dict(zip(names, results, strict=True))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_over_all_floats(computed, truth, name):
    got, wanted = computed[name].astype("float64"), truth[name]
    with np.errstate(over="ignore"):
        rounded = wanted.astype("float32")
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    error = np.abs(got[finite] - wanted[finite])
    relative = error / np.maximum(np.abs(wanted[finite]), np.finfo("float32").tiny)
    normal = np.abs(wanted[finite]) >= np.finfo("float32").tiny
    if name in LARGEST:
        assert relative[normal].max() <= LARGEST[name]
    assert relative[error > ABSOLUTE].max(initial=0) <= 1e-6


EDGES = {
    "exp": [np.inf, 0, np.nan, 1, 1, np.inf, 0, 1],
    "log": [np.inf, np.nan, np.nan, -np.inf, -np.inf, np.log(3.4e38), np.nan, np.log(2.0**-149)],
    "tanh": [1, -1, np.nan, 0, 0, 1, -1, 0],
    "sigmoid": [1, 0, np.nan, 0.5, 0.5, 1, 0, 0.5],
    "erf": [1, -1, np.nan, 0, 0, 1, -1, 0],
    "silu": [np.inf, 0, np.nan, 0, 0, 3.4e38, 0, 0],
    "gelu": [np.inf, 0, np.nan, 0, 0, 3.4e38, 0, 0],
    "gelu_tanh": [np.inf, 0, np.nan, 0, 0, 3.4e38, 0, 0],
    "selu": [np.inf, -1.7580993, np.nan, 0, 0, np.inf, -1.7580993, 0],
    "softplus": [np.inf, 0, np.nan, np.log(2), np.log(2), 3.4e38, 0, np.log(2)],
    "cube": [np.inf, -np.inf, np.nan, 0, 0, np.inf, -np.inf, 0],
    "inverse": [0, 0, np.nan, np.inf, -np.inf, 1 / 3.4e38, -1 / 3.4e38, np.inf],
    "root": [np.inf, np.nan, np.nan, 0, 0, np.sqrt(3.4e38), np.nan, np.sqrt(2.0**-149)],
    "sqrt": [np.inf, np.nan, np.nan, 0, 0, np.sqrt(3.4e38), np.nan, np.sqrt(2.0**-149)],
    "rsqrt": [0, np.nan, np.nan, np.inf, -np.inf, 3.4e38**-0.5, np.nan, 2.0**74.5],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_edges(computed, name):
    # Limits are reached up to the rounding of one operator.
    np.testing.assert_allclose(computed[f"{name} of edges"], EDGES[name], rtol=2e-7, atol=1e-30)


SLOPES = np.linspace(-0.5, 0.5, 17)
EXACT = {
    "divide": lambda emit, x, y, i: emit(op.divide(x, y)),
    "abs": lambda emit, x, y, i: emit(op.abs(x)),
    "floor": lambda emit, x, y, i: emit(op.floor(x)),
    "ceil": lambda emit, x, y, i: emit(op.ceil(x)),
    "round": lambda emit, x, y, i: emit(op.round(x)),
    "square": lambda emit, x, y, i: emit(op.square(x)),
    "power": lambda emit, x, y, i: emit(op.power(x, constant(2.0))),
    "leaky": lambda emit, x, y, i: emit(op.nn.leakyrelu(x, 0.1)),
    "prelu": lambda emit, x, y, i: emit(op.nn.prelu(x, constant(SLOPES), axis=1)),
    "half away": lambda emit, x, y, i: emit(ops.round_half_away(x)),
    "bias": lambda emit, x, y, i: emit(ops.bias_add(x, constant(range(3)), axis=0)),
    "hint": lambda emit, x, y, i: emit(ops.cast_hint(emit(op.add(x, y)), "int8")),
    "simulate": lambda emit, x, y, i: emit(
        ops.simulated_quantize(x, constant(0.3), constant(-4), constant(5), kind="input")
    ),
    "per channel": lambda emit, x, y, i: emit(
        ops.simulated_quantize(
            x, constant(np.full((3, 1), 0.7)), constant(-4), constant(5), kind="weight"
        )
    ),
    "greater": lambda emit, x, y, i: emit(op.greater(x, y)),
    "equal": lambda emit, x, y, i: emit(op.equal(i, constant(3, "int32"))),
    "where": lambda emit, x, y, i: emit(op.where(emit(op.less_equal(x, y)), y, x)),
    "to integers": lambda emit, x, y, i: emit(op.astype(x, "int32")),
    "to bytes": lambda emit, x, y, i: emit(op.astype(i, "int8")),
    "to floats": lambda emit, x, y, i: emit(op.astype(i, "float32")),
    # Rounding after each operator shows whether LLVM contracted two of them.
    "chain": lambda emit, x, y, i: emit(op.add(emit(op.multiply(x, y)), emit(op.square(y)))),
    "hardswish": lambda emit, x, y, i: emit(
        op.multiply(emit(op.clip(emit(op.add(x, constant(3.0))), 0, 6)), emit(op.divide(x, y)))
    ),
}


@pytest.fixture(scope="module")
def operands():
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(3, 17)).astype("float32") * 3 for _ in range(2))
    x[0, :6] = [0.5, -0.5, 1.5, -2.5, np.nextafter(np.float32(0.5), np.float32(0)), 2**23 + 1]
    return [x, y, rng.integers(-300, 300, (3, 17)).astype("int32")]


@pytest.fixture(scope="module")
def loops(operands):
    return by_tvm(operands, EXACT.values())


@pytest.mark.parametrize("level", LEVELS)
def test_operators_equal_tvm(operands, loops, level):
    for name, got, wanted in zip(
        EXACT, by_kernels(operands, EXACT.values(), level), loops, strict=True
    ):
        np.testing.assert_array_equal(got, wanted, err_msg=name)
        assert got.dtype == wanted.dtype, name
