"""Sizes of blocks: they fit into registers, into the nearest cache, and give all threads work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_book.backend.isa import LEVELS
from tvm_book.backend.kernels._blocking import choose

SIZES = st.sampled_from([1, 3, 7, 14, 49, 56, 197, 1000])


@pytest.mark.parametrize("level", [isa for isa in LEVELS.values() if isa.tiles is None])
@given(rows=SIZES, columns=SIZES, outer=SIZES, threads=st.integers(1, 8))
def test_a_block_fits_the_registers(level, rows, columns, outer, threads):
    for dot in (level.int8, level.float32):
        found = choose(level, dot, (rows, columns, 64), outer, threads)
        assert 1 <= found.rows <= rows and 1 <= found.panels <= -(-columns // dot.lanes)
        assert found.rows * found.panels + found.panels + 1 <= level.registers + dot.split - 1
        assert 1 <= found.chunk <= outer


@pytest.mark.parametrize("stride, most", [(1024, 5), (512, 10), (3 * 1024, 5), (1024 + 16, 32)])
def test_rows_a_power_of_two_apart_do_not_crowd_a_set_of_the_cache(stride, most):
    """A float32 row of 1024 elements is 4096 bytes: all rows fall into one set of eight lines."""
    level = LEVELS["avx512-vnni"]
    found = choose(level, level.float32, (128, 256, 1024), 1, 1, stride=stride)
    assert found.rows <= most
    assert found.rows * found.panels >= 12  # still enough sums at a time to hide their latency


def test_few_threads_get_whole_runs_of_rows_and_many_get_some_each():
    level = LEVELS["avx512-vnni"]
    one, many = (choose(level, level.int8, (7, 64, 576), 56, n) for n in (1, 8))
    assert one.chunk > many.chunk
    assert -(-56 // many.chunk) * -(-4 // many.panels) >= 8
