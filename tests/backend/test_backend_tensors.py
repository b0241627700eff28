"""Arrays on their way into TVM."""

import ml_dtypes
import numpy as np
import pytest
import torch
import tvm

from tvm_book.backend import TensorSpec, to_tensor

SPEC = TensorSpec("x", (2, 3), "float32")
VALUES = np.arange(6, dtype="float32").reshape(2, 3)


def aligned(shape, dtype="float32"):
    """An array that starts at a multiple of 64 bytes."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.zeros(count + 64, "uint8")
    start = -room.ctypes.data % 64
    return room[start : start + count].view(dtype).reshape(shape)


def read_only():
    array = VALUES.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "value",
    [
        VALUES,
        np.asfortranarray(VALUES),
        np.repeat(VALUES, 2, axis=1)[:, ::2],
        VALUES[::-1][::-1],
        VALUES.astype(">f4"),
        read_only(),
        torch.tensor(VALUES),
        torch.tensor(VALUES.T.copy()).T,
        torch.tensor(VALUES, requires_grad=True),
        torch.arange(-1, 6, dtype=torch.float32)[1:].reshape(2, 3),
        tvm.runtime.tensor(VALUES),
    ],
    ids="plain fortran strided reversed big-endian read-only torch torch-T grad offset tvm".split(),
)
@pytest.mark.parametrize("copy", [False, True])
def test_every_kind_of_array_keeps_its_values(value, copy):
    tensor = to_tensor(SPEC, value, copy=copy)
    assert tensor.dtype == "float32" and tensor.is_contiguous() and tensor.data_ptr() % 64 == 0
    np.testing.assert_array_equal(tensor.numpy(), VALUES)


@pytest.mark.parametrize("make", [aligned, torch.zeros])
def test_aligned_memory_is_shared_unless_a_copy_is_wanted(make):
    value = make((2, 3))
    shared, copied = to_tensor(SPEC, value), to_tensor(SPEC, value, copy=True)
    value[0, 0] = 9
    assert shared.numpy()[0, 0] == 9
    assert copied.numpy()[0, 0] == 0


def test_tvm_tensors_are_shared_unless_a_copy_is_wanted():
    value = tvm.runtime.tensor(VALUES)
    assert to_tensor(SPEC, value).data_ptr() == value.data_ptr()
    assert to_tensor(SPEC, value, copy=True).data_ptr() != value.data_ptr()


@pytest.mark.parametrize(
    "dtype", "bool int8 uint8 int16 int32 int64 float16 bfloat16 float32 float64".split()
)
def test_every_dtype(dtype):
    numpy_dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    array = np.array([0, 1, 1], numpy_dtype)
    from_numpy = to_tensor(TensorSpec("x", (3,), dtype), array)
    from_torch = to_tensor(
        TensorSpec("x", (3,), dtype), torch.tensor([0, 1, 1]).to(getattr(torch, dtype))
    )
    for tensor in (from_numpy, from_torch):
        assert str(tensor.dtype) == dtype
        np.testing.assert_array_equal(tensor.numpy(), array)


def test_scalars_and_empty_arrays():
    assert to_tensor(TensorSpec("x", (), "float32"), np.float32(3)).numpy() == 3
    assert to_tensor(TensorSpec("x", (0, 4), "int8"), np.zeros((0, 4), "int8")).shape == (0, 4)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (VALUES.T, ValueError, r"input 'x' must have shape \(2, 3\), not \(3, 2\)"),
        (VALUES.astype("float64"), TypeError, r"not float64: pass x.astype\('float32'\)"),
        (torch.zeros(2, 3, dtype=torch.int8), TypeError, r"not int8: pass x.to\(torch.float32\)"),
        (tvm.runtime.tensor(VALUES.astype("int8")), TypeError, "must be float32, not int8"),
        (VALUES.tolist(), TypeError, r"not list: pass numpy.asarray\(x, dtype='float32'\)"),
        (1.5, TypeError, "not float: pass numpy.asarray"),
        (None, TypeError, "not NoneType"),
        (torch.zeros(2, 3, device="meta"), TypeError, "is on meta; the model runs on the CPU"),
    ],
)
def test_wrong_arrays(value, error, message):
    with pytest.raises(error, match=message):
        to_tensor(SPEC, value)
