"""Products of matrices: equal to NumPy's in 64 bits, for each instruction set of this machine."""

import numpy as np
import pytest
import tvm
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op

from tests.backend import levels
from tests.backend.levels import TARGET
from tests.backend.traps import PARAM as TRAPPED
from tvm_book.backend import build
from tvm_book.backend.isa import select

LEVELS = [*levels.LEVELS, TRAPPED]
SIZES = st.sampled_from([1, 3, 5, 17, 65])
BATCH = st.integers(1, 3)
WIDE = {"int8": ("int32", "int64"), "float32": ("float32", "float64")}


def compiled(products, level, threads):
    """Return what runs a list of (shapes, permutations, dtype, constant or None) in one module."""
    builder, params, results = relax.BlockBuilder(), [], []
    for shapes, _, dtype, constant in products:
        shapes = shapes if constant is None else shapes[:1]
        params.append([relax.Var("x", relax.TensorType(s, dtype)) for s in shapes])
    with builder.function("main", [p for pair in params for p in pair]):
        with builder.dataflow():
            for (_, orders, dtype, constant), pair in zip(products, params, strict=True):
                right = [] if constant is None else [relax.const(constant, dtype)]
                a, b = (
                    builder.emit(op.permute_dims(x, order)) if order else x
                    for x, order in zip([*pair, *right], orders, strict=True)
                )
                results.append(builder.emit(op.matmul(a, b, out_dtype=WIDE[dtype][0])))
            out = builder.emit_output(relax.Tuple(results))
        builder.emit_func_output(out)
    built = build(builder.get(), TARGET, level, threads)
    assert not {"matmul"} & {name for call in built.calls for name in call.operators[1:]}
    assert sum(call.operators[0] == "matmul" for call in built.calls) == len(products)
    return relax.VirtualMachine(built.executable, tvm.cpu())


def values(rng, shape, dtype):
    if dtype == "int8":
        # Many of the ends, so that a product of bytes which saturates would show.
        return rng.choice(np.array([-128, -127, -1, 0, 3, 127], dtype), shape)
    return rng.normal(size=shape).astype(dtype)


def check(products, level, threads, seed=0):
    rng = np.random.default_rng(seed)
    machine = compiled(products, level, threads)
    pairs = []
    for shapes, _, dtype, constant in products:
        right = values(rng, shapes[1], dtype) if constant is None else constant
        pairs.append((values(rng, shapes[0], dtype), right))
    given_ = [
        x
        for pair, (*_, constant) in zip(pairs, products, strict=True)
        for x in (pair if constant is None else pair[:1])
    ]
    results = machine["main"](*map(tvm.runtime.tensor, given_))
    for (_, orders, dtype, _), pair, result in zip(products, pairs, results, strict=True):
        a, b = (
            (x.transpose(order) if order else x).astype(WIDE[dtype][1])
            for x, order in zip(pair, orders, strict=True)
        )
        if dtype == "int8":
            np.testing.assert_array_equal(result.numpy(), a @ b)
        else:
            # A sum of k products has k roundings, each at most of the sum of magnitudes.
            bound = 2.0**-23 * a.shape[-1] * (np.abs(a) @ np.abs(b)) + 1e-30
            assert np.all(np.abs(result.numpy() - a @ b) <= bound)


@st.composite
def product(draw):
    m, k, n = draw(SIZES), draw(SIZES), draw(SIZES)
    dtype = draw(st.sampled_from(["int8", "float32"]))
    axes = draw(st.lists(BATCH, max_size=2))
    left = [draw(st.sampled_from([1, size])) for size in axes]
    right = [
        size if a == 1 else draw(st.sampled_from([1, size]))
        for a, size in zip(left, axes, strict=True)
    ]
    right = right[draw(st.integers(0, len(right))) :]
    constant = draw(st.booleans())
    shapes, orders = [], []
    for batch, rows, columns in ((left, m, k), (right, k, n)):
        shape, order = [*batch, rows, columns], None
        rank = len(shape)
        if draw(st.booleans()) and not (constant and shapes):
            order = draw(st.permutations(range(rank)))
            shape = [shape[order.index(axis)] for axis in range(rank)]
        shapes.append(tuple(shape))
        orders.append(order)
    array = None
    if constant:
        array = values(np.random.default_rng(draw(st.integers(0, 9))), shapes[1], dtype)
    return shapes, orders, dtype, array


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("level", LEVELS)
def test_any_product_equals_the_sum_in_64_bits(level, threads):
    @given(st.lists(product(), min_size=6, max_size=6))
    @settings(
        max_examples=2,  # the first one is the simplest
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def any_products(products):
        check(products, level, threads)

    any_products()


@pytest.mark.parametrize("level", LEVELS)
def test_products_of_attention(level):
    """Heads side by side, keys turned over; the second product's depth is no multiple of 4."""
    heads = [None, (0, 2, 3, 1)]
    products = [
        (((2, 3, 17, 20), (2, 33, 3, 20)), heads, dtype, None) for dtype in ("int8", "float32")
    ]
    products += [
        (((2, 3, 17, 33), (2, 33, 3, 20)), [None, (0, 2, 1, 3)], dtype, None)
        for dtype in ("int8", "float32")
    ]
    check(products, level, 2)


def zero_point(product, right, factor):
    """Add what corrects a product for the zero point of its left operand."""
    wide = op.astype(right, "int32")
    total = op.sum(wide, axis=[-2], keepdims=True)
    return op.add(product, op.multiply(total, relax.const(factor, "int32")))


@pytest.mark.parametrize("factor", [128, -7])
def test_sums_for_a_zero_point_are_made_while_packing(factor):
    rng = np.random.default_rng(2)
    a, b = (values(rng, shape, "int8") for shape in ((2, 3, 5, 17), (2, 3, 17, 20)))
    builder = relax.BlockBuilder()
    x, y = (relax.Var("x", relax.TensorType(v.shape, "int8")) for v in (a, b))
    with builder.function("main", [x, y]):
        with builder.dataflow():
            out = builder.emit(op.matmul(x, y, out_dtype="int32"))
            out = builder.emit_output(zero_point(out, y, factor))
        builder.emit_func_output(out)
    built = build(builder.get(), TARGET)
    # One copy lays `a` out; nothing computes sums of its own.
    assert [call.operators[0] for call in built.calls] == ["copy", "pack_int8", "matmul"]
    result = relax.VirtualMachine(built.executable, tvm.cpu())["main"](
        *map(tvm.runtime.tensor, (a, b))
    )
    expected = a.astype("int64") @ b + factor * b.sum(axis=-2, keepdims=True, dtype="int64")
    np.testing.assert_array_equal(result.numpy(), expected)


@pytest.mark.parametrize("batch", [(1,), (3,), (7, 2)])
def test_few_rows_of_many_matrices_become_rows_of_one(batch):
    constant = values(np.random.default_rng(1), (16, 20), "float32")
    check([(((*batch, 5, 16), (16, 20)), [None, None], "float32", constant)], None, 2)


def test_the_level_is_the_best_one():
    assert select(TARGET).name == LEVELS[0]
