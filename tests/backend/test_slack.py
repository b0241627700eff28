"""What lies behind the channels of an array is a number, whatever the memory held before."""

import gc

import numpy as np
import pytest
from tvm import relax

import tvm_book
from tests.backend.levels import LEVELS

CHANNELS = [8, 12, 24]  # padded to 16 each, in vectors of 16 or 8


def fill_free_memory_with_nan() -> None:
    sizes = (64, 128, 192, 256, 300, 400, 512, 768, 1000, 1500, 2000, 3000)
    blocks = [np.full(n, np.nan, "float32") for n in sizes for _ in range(40)]
    del blocks
    gc.collect()


def chain(channels: int, second):
    rng = np.random.default_rng(0)

    def weight(*shape):
        return relax.const(rng.standard_normal(shape).astype("float32"), "float32")

    x = relax.Var("x", relax.TensorType((1, 3, 8, 8), "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        y = builder.emit(relax.op.nn.conv2d(x, weight(channels, 3, 3, 3)))
        y = builder.emit(second(y))
        y = builder.emit(relax.op.nn.conv2d(y, weight(4, channels, 3, 3)))
        _ = builder.emit_func_output(y)
    return builder.get()


SECOND = {
    "relu": relax.op.nn.relu,
    "max pool": lambda x: relax.op.nn.max_pool2d(x, (3, 3), padding=(1, 1)),
    "permute": lambda x: relax.op.permute_dims(x, [0, 1, 3, 2]),
    "softmax": lambda x: relax.op.nn.softmax(x, axis=1),
    "concat": lambda x: relax.op.strided_slice(
        relax.op.concat([x, x], 1), [1], [0], [x.ty.shape[1]]
    ),
}


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("second", SECOND.values(), ids=SECOND)
@pytest.mark.parametrize("channels", CHANNELS)
def test_old_memory_is_never_read(isa, second, channels):
    run = tvm_book.compile(chain(channels, second), isa=isa, threads=1)
    x = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype("float32")
    expected = run(x=x)
    assert np.isfinite(expected).all()
    for _ in range(3):
        fill_free_memory_with_nan()
        assert run(x=x).tobytes() == expected.tobytes()
