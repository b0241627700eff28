"""Calling a compiled model: arguments in, NumPy out."""

import threading

import numpy as np
import pytest
import torch
import tvm
from tvm.script import ir as I
from tvm.script import relax as R

import tvm_book
from tvm_book.runtime import TensorSpec


@I.ir_module
class Subtract:
    @R.function
    def main(data: R.Tensor((2, 3), "float32"), other: R.Tensor((2, 3), "float32")) -> R.Tensor(
        (2, 3), "float32"
    ):
        with R.dataflow():
            y = R.subtract(data, other)
            R.output(y)
        return y


@I.ir_module
class Several:
    """Outputs that share memory with the input, with each other and with a constant."""

    @R.function
    def main(x: R.Tensor((4,), "int32")):
        with R.dataflow():
            double = R.add(x, x)
            out = (x, (double, R.const([1, 2], "int32"), double))
            R.output(out)
        return out


@I.ir_module
class OddNames:
    @R.function
    def main(self: R.Tensor((), "int32"), repeat: R.Tensor((), "int32")):
        with R.dataflow():
            y = R.subtract(self, repeat)
            R.output(y)
        return y


@I.ir_module
class NoInputs:
    @R.function
    def main():
        with R.dataflow():
            y = R.add(R.const([1, 2], "int32"), R.const([3, 4], "int32"))
            R.output(y)
        return y


@I.ir_module
class FirstTwo:
    """An output whose size the data decide."""

    @R.function
    def main(x: R.Tensor((4,), "int8")):
        with R.dataflow():
            y = R.nonzero(x)
            R.output(y)
        return y


@I.ir_module
class Missing:
    @R.function
    def main(x: R.Tensor((4,), "float32")):
        with R.dataflow():
            y = R.call_pure_packed("no.such.kernel", x, ty_args=R.Tensor((4,), "float32"))
            R.output(y)
        return y


A = np.arange(6, dtype="float32").reshape(2, 3)
B = np.full((2, 3), 10, "float32")


@pytest.fixture(scope="module")
def subtract():
    return tvm_book.compile(Subtract)


@pytest.mark.parametrize("kind", [np.array, torch.tensor, tvm.runtime.tensor])
def test_by_position_and_by_name(subtract, kind):
    a, b = kind(A), kind(B)
    for y in (subtract(a, b), subtract(a, other=b), subtract(other=b, data=a)):
        assert type(y) is np.ndarray and y.dtype == np.float32
        np.testing.assert_array_equal(y, A - B)


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "message"),
    [
        ((A,), {}, TypeError, "no value for input 'other'; the model takes data: float32"),
        ((), {}, TypeError, "no value for input 'data', 'other'"),
        ((A, B, A), {}, TypeError, "3 positional arguments given; the model takes data: "),
        ((A, B), {"other": B}, TypeError, "input 'other' is given twice"),
        ((A,), {"othr": B}, TypeError, "no input 'othr'; did you mean 'other'"),
        ((A,), {"zzz": B}, TypeError, "no input 'zzz'; the model takes data: float32"),
        ((A, B[0]), {}, ValueError, r"'other' must have shape \(2, 3\), not \(3,\)"),
        ((A, B.astype("float64")), {}, TypeError, "'other' must be float32, not float64"),
    ],
)
def test_wrong_arguments(subtract, args, kwargs, error, message):
    with pytest.raises(error, match=message):
        subtract(*args, **kwargs)
    np.testing.assert_array_equal(subtract(A, B), A - B)  # still usable


def test_arguments_are_not_changed(subtract):
    a, b = A.copy(), B.copy()
    subtract(a, b)
    np.testing.assert_array_equal(a, A)
    np.testing.assert_array_equal(b, B)


def test_several_outputs_keep_their_nesting_and_belong_to_the_caller():
    run = tvm_book.compile(Several)
    x = np.arange(4, dtype="int32")
    same, (double, constant, again) = run(x)
    for output in (same, double, constant, again):
        output[:] = -1  # in place: must reach neither the input, nor a twin, nor a constant
    np.testing.assert_array_equal(x, [0, 1, 2, 3])
    second = run(x)
    assert isinstance(second, tuple) and isinstance(second[1], tuple)
    np.testing.assert_array_equal(second[1][1], [1, 2])
    np.testing.assert_array_equal(second[1][0], [0, 2, 4, 6])
    run(x + 1)
    np.testing.assert_array_equal(second[1][0], [0, 2, 4, 6])


def test_inputs_called_like_python_names():
    run = tvm_book.compile(OddNames)
    five, three = np.int32(5), np.int32(3)
    assert run(self=five, repeat=three) == 2
    assert run(five, repeat=three).shape == ()
    assert run.benchmark(five, three, repeat=1, number=1).number == 1


def test_no_inputs_and_sizes_that_the_data_decide():
    np.testing.assert_array_equal(tvm_book.compile(NoInputs)(), [4, 6])
    run = tvm_book.compile(FirstTwo)
    np.testing.assert_array_equal(run(np.array([0, 5, 0, 1], "int8")), [[1, 3]])
    assert run.outputs == (TensorSpec("output", (None, None), "int64"),)


def test_description(subtract):
    both = tuple(TensorSpec(name, (2, 3), "float32") for name in ("data", "other"))
    assert subtract.inputs == both
    assert subtract.outputs == (TensorSpec("output", (2, 3), "float32"),)
    assert "in   data: float32 (2, 3)" in repr(subtract)
    assert subtract.target.kind.name == "llvm"


def test_params_and_target_reach_the_backend():
    run = tvm_book.compile(Subtract, {"kind": "llvm"}, params={"other": torch.tensor(B)})
    assert "mcpu" not in run.target.attrs
    np.testing.assert_array_equal(run(A), A - B)
    with pytest.raises(ValueError, match="did you mean 'other'"):
        tvm_book.compile(Subtract, params={"othr": B})


def test_later_changes_of_params_do_not_reach_the_model():
    weights = torch.tensor(B)
    run = tvm_book.compile(Subtract, params={"other": weights})
    weights.zero_()
    np.testing.assert_array_equal(run(A), A - B)


def test_a_missing_kernel_shows_when_compiling():
    with pytest.raises(Exception, match=r"no\.such\.kernel"):
        tvm_book.compile(Missing)


def test_two_threads_call_one_model():
    run = tvm_book.compile(Several)
    wrong = []

    def work(start):
        for i in range(200):
            x = np.full(4, start + i, "int32")
            same, (double, _, again) = run(x)
            if not ((same == x).all() and (double == 2 * x).all() and (again == 2 * x).all()):
                wrong.append(start + i)

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 10_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_each_thread_has_its_own_virtual_machine(subtract):
    mains = [subtract._main(), subtract._main()]
    thread = threading.Thread(target=lambda: mains.append(subtract._main()))
    thread.start()
    thread.join()
    assert mains[0] is mains[1] and mains[0] is not mains[2]
