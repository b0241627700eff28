"""Models that run on several threads, and on several Python threads at once."""

import threading

import numpy as np
import pytest
from tvm.script import ir as I
from tvm.script import relax as R

import tvm_book
from tvm_book.backend import default_threads


@I.ir_module
class Layer:
    """Enough rows for each of four threads."""

    @R.function
    def main(x: R.Tensor((1, 8, 12, 12), "int8"), w: R.Tensor((20, 8, 3, 3), "int8")) -> R.Tensor(
        (1, 20, 12, 12), "int8"
    ):
        with R.dataflow():
            acc = R.nn.conv2d(x, w, padding=[1, 1, 1, 1], out_dtype="int32")
            shifted = R.right_shift(acc, R.const(7, "int32"))
            y = R.astype(R.clip(shifted, -127, 127), "int8")
            R.output(y)
        return y


def int8(seed, shape):
    return np.random.default_rng(seed).integers(-128, 128, shape).astype("int8")


def layer(**options):
    return tvm_book.compile(Layer, params={"w": int8(0, (20, 8, 3, 3))}, **options)


def reference(x):
    padded = np.pad(x.astype("int64"), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    acc = np.einsum("nchwij,ocij->nohw", windows, int8(0, (20, 8, 3, 3)).astype("int64"))
    return np.clip(acc >> 7, -127, 127).astype("int8")


@pytest.fixture(scope="module")
def models():
    return [layer(threads=n) for n in (1, 2, 3, 4)]


def test_any_number_of_threads_computes_the_same(models):
    for seed in range(3):
        x = int8(seed, (1, 8, 12, 12))
        for run in models:
            np.testing.assert_array_equal(run(x), reference(x))


def test_models_of_several_numbers_called_from_several_threads(models):
    wrong = []

    def work(seed):
        for i in range(40):
            x = int8(100 * seed + i, (1, 8, 12, 12))
            run = models[(seed + i) % len(models)]
            if not np.array_equal(run(x), reference(x)):
                wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_model_tells_its_threads_and_its_instructions(monkeypatch, models):
    assert [run.threads for run in models] == [1, 2, 3, 4]
    assert layer().threads == default_threads()
    monkeypatch.setenv("TVM_NUM_THREADS", "3")
    run = layer(isa="portable")
    assert (run.threads, run.isa) == (3, "portable")
    assert "isa portable, threads 3)" in repr(run).splitlines()[0]


@pytest.mark.parametrize("threads", [0, -1, "a", True, 1.5])
def test_what_is_no_number_of_threads(threads):
    with pytest.raises(ValueError, match=f"threads must be an integer .* not {threads!r}"):
        tvm_book.compile(Layer, threads=threads)
    with pytest.raises(ValueError, match="threads must be an integer"):
        tvm_book.load("nothing.so", threads=threads)


@pytest.mark.parametrize("isa", ["avx1024", 3, True])
def test_what_is_no_instruction_set(isa):
    with pytest.raises(ValueError, match=r"isa.*portable"):
        tvm_book.compile(Layer, isa=isa)
