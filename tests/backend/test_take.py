"""Look-ups in constant tables, exactly, as the quantizer writes them and with any index."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op

from tests.backend.levels import LEVELS, by_kernels

SIZES = (1, 3, 5, 17, 65, 197)
RNG = np.random.default_rng(0)
WIDE = RNG.integers(-128, 128, 4096).astype("int8")
NARROW = RNG.integers(-128, 128, 256).astype("int8")
FLOATS = RNG.normal(size=4096).astype("float32")


def table(values):
    return relax.const(values, str(values.dtype))


def wide(emit, x, values=WIDE):
    """Index a table with what a requantization to int16 leaves."""
    limited = emit(op.clip(emit(op.right_shift(x, relax.const(4, "int32"))), 0, 4095))
    index = emit(op.astype(emit(op.astype(limited, "int16")), "int32"))
    return emit(op.take(table(values), index, axis=0, mode="clip"))


def narrow(emit, x):
    index = emit(op.add(emit(op.astype(x, "int32")), relax.const(128, "int32")))
    return emit(op.take(table(NARROW), index, axis=0, mode="clip"))


@pytest.mark.parametrize("level", LEVELS)
def test_tables_of_the_quantizer(level):
    sums = [RNG.integers(-(2**17), 2**17, (3, n)).astype("int32") for n in SIZES]
    tiny = [RNG.integers(-128, 128, (3, n)).astype("int8") for n in SIZES]
    operators = [lambda emit, *xs, i=i: wide(emit, xs[i]) for i in range(len(sums))]
    operators += [lambda emit, *xs, i=i: narrow(emit, xs[len(sums) + i]) for i in range(len(tiny))]
    operators += [lambda emit, *xs: wide(emit, xs[3], FLOATS)]
    results = by_kernels([*sums, *tiny], operators, level)
    index = [np.clip(x >> 4, 0, 4095) for x in sums]
    wanted = [*(WIDE[i] for i in index), *(NARROW[x.astype(int) + 128] for x in tiny)]
    for got, want in zip(results, [*wanted, FLOATS[index[3]]], strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64"])
@pytest.mark.parametrize("level", LEVELS[:1] + LEVELS[-1:])
def test_indices_outside_are_clipped(level, dtype):
    limits = np.iinfo(dtype)
    x = np.array([limits.min, limits.max, 0, 1, 6, 7, 8], dtype)
    values = np.arange(7).astype("int8")
    (got,) = by_kernels([x], [lambda emit, x: emit(op.take(table(values), x, 0, "clip"))], level)
    np.testing.assert_array_equal(got, values[np.clip(x, 0, 6).astype(int)])


@settings(max_examples=6)
@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=3),
    st.integers(1, 40),
    st.booleans(),
)
def test_shapes(shape, last, transposed):
    x = np.random.default_rng(last).integers(-128, 128, (*shape, last)).astype("int8")

    def looked_up(emit, x):
        return narrow(emit, emit(op.permute_dims(x)) if transposed else x)

    (got,) = by_kernels([x], [looked_up], LEVELS[0])
    wanted = NARROW[x.astype(int) + 128]
    np.testing.assert_array_equal(got, wanted.T if transposed else wanted)


def test_table_behind_a_product():
    x, w = (RNG.integers(-128, 128, shape).astype("int8") for shape in ((5, 33), (33, 20)))

    def layer(emit, x):
        return wide(emit, emit(op.matmul(x, relax.const(w, "int8"), out_dtype="int32")))

    index = np.clip((x.astype("int32") @ w.astype("int32")) >> 4, 0, 4095)
    for level in LEVELS:
        (got,) = by_kernels([x], [layer], level)
        np.testing.assert_array_equal(got, WIDE[index])
