"""The kernel that multiplies only: it does all the products that it is credited with."""

import numpy as np
import pytest
import tvm

from tvm_book.backend import _peak as module
from tvm_book.backend import isa as levels
from tvm_book.backend import peak, resolve_target, use_threads

USABLE = levels.available(resolve_target("llvm"))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("level", USABLE, ids=lambda level: level.name)
def test_every_product_is_counted(level, dtype, threads):
    if dtype == "int8" and level.tiles:
        pytest.skip("sums stay in tiles")
    function, operands, operations = module._kernel(level, dtype, threads)
    run = module._library(function, level.target(resolve_target("llvm")))["peak"]
    use_threads(threads)
    tensors = [tvm.runtime.tensor(array) for array in operands]
    run(*tensors)
    sums = tensors[2].numpy()
    # Of ones by ones; a product and an addition count two. Below 2**24, so exact in float32 too.
    np.testing.assert_array_equal(sums, module.STEPS * module.TIMES * getattr(level, dtype).group)
    assert operations == 2 * int(sums.astype("int64").sum())


def test_measured_once_a_process(monkeypatch):
    first = peak("portable", "float32", 1)
    monkeypatch.setattr(module, "_kernel", lambda *_: pytest.fail("measured again"))
    assert peak("portable", "float32", 1) == first > 0.1
