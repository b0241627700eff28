"""Batches of calibration data, checked as they come. (What is refused: see test_quantize.py.)"""

import numpy as np
import pytest
import torch
import tvm

from tvm_book._tensors import TensorSpec
from tvm_book.quantize._dataset import Batches, batches_of, check_dataset

INPUTS = [TensorSpec("x", (2,), "float32"), TensorSpec("n", (1,), "int64")]
BATCH = {"x": np.array([1, 2], "float32"), "n": np.array([3])}


class Stream:
    """An iterable without a length."""

    def __iter__(self):
        return iter([BATCH, BATCH, BATCH])


class Loader(Stream):
    """As torch's loader of a stream."""

    def __len__(self):
        raise TypeError("object of type 'Stream' has no len()")


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy, tvm.runtime.tensor])
def test_arrays_of_every_library(make):
    (batch,) = Batches([{name: make(value) for name, value in BATCH.items()}], INPUTS)
    for name, value in BATCH.items():
        assert batch[name].dtype == value.dtype
        np.testing.assert_array_equal(batch[name], value)


@pytest.mark.parametrize(
    ("dataset", "length", "count"),
    [([BATCH] * 2, 2, 2), (Stream(), None, 3), (Loader(), None, 3)],
    ids=["list", "stream", "loader of a stream"],
)
def test_length_and_count(dataset, length, count):
    batches = Batches(dataset, INPUTS)
    assert (batches.length(), batches.count()) == (length, count)
    assert batches.repeatable() is batches
    assert [len(list(batches)) for _ in range(2)] == [count, count]


def test_an_iterator_becomes_repeatable():
    once = Batches(iter([BATCH] * 2), INPUTS)
    assert once.length() is None
    again = once.repeatable()
    assert again.length() == 2
    assert [len(list(again)) for _ in range(2)] == [2, 2]
    with pytest.raises(ValueError, match="dataset has no batch"):
        list(once)  # used up


def test_a_batch_is_checked_when_it_comes():
    bad = BATCH | {"x": np.array([1, np.nan], "float32")}
    batches = iter(Batches(iter([BATCH, bad]), INPUTS))
    next(batches)
    with pytest.raises(ValueError, match="batch 1 of dataset, input 'x' has a NaN"):
        next(batches)


def test_errors_call_a_dataset_as_its_caller_does():
    for dataset, message in [
        ([{"z": 1}], "batch 0 of evaluation has an input 'z'"),
        ([], "evaluation has no batch"),
        (iter([3]), "batch 0 of evaluation is a int"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            list(batches_of(dataset, INPUTS, "evaluation").repeatable())
    with pytest.raises(TypeError, match="evaluation is a int; give a list"):
        batches_of(3, INPUTS, "evaluation")


def test_checked_batches_are_a_dataset():
    batches = check_dataset([BATCH], INPUTS, "mse")
    assert check_dataset(batches, INPUTS, "mse") is batches
