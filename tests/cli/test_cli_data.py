import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_book.backend import TensorSpec
from tvm_book.cli._data import cut, random_batch
from tvm_book.cli._npz import read_npz
from tvm_book.cli._shapes import settle

X = TensorSpec("x", (2, 3), "float32")


def good(count=4):
    return np.arange(3 * count, dtype="float32").reshape(count, 3)


@given(
    batch=st.integers(1, 4),
    batches=st.integers(1, 4),
    rest=st.lists(st.integers(1, 3), max_size=2),
    files=st.integers(1, 3),
)
def test_batches_joined_are_the_data(batch, batches, rest, files):
    random = np.random.default_rng(0)
    shape = (batch * batches, *rest)
    data = {f"{i}.npz": {"x": random.standard_normal(shape)} for i in range(files)}
    spec = TensorSpec("x", (batch, *rest), "float64")
    found = cut(data, [spec])
    assert {one["x"].shape for one in found} == {spec.shape}
    joined = np.concatenate([arrays["x"] for arrays in data.values()])
    np.testing.assert_array_equal(np.concatenate([one["x"] for one in found]), joined)


def test_scalars_and_fixed_inputs_have_a_value_a_run():
    """The first axis of every array goes through the runs, whatever the input's own first axis."""
    specs = [X, TensorSpec("gain", (), "float32"), TensorSpec("mask", (5,), "bool")]
    arrays = {"x": good(4), "gain": np.float32([1, 2]), "mask": np.arange(10) % 2 == 0}
    first, second = cut({"a.npz": arrays}, specs)
    assert second["gain"].shape == ()
    assert (float(first["gain"]), float(second["gain"])) == (1, 2)
    np.testing.assert_array_equal(second["mask"], arrays["mask"][5:])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": good()}, "lacks the input x: float32 (samples, 3); it holds X: float32 (4, 3)"),
        ({"xx": good()}, "rename 'xx'"),
        ({"x": good().astype("float64")}, "must be float32 (samples, 3), not float64 (4, 3): save"),
        ({"x": good().astype("complex64")}, "not complex64 (4, 3)"),
        ({"x": good().astype("U")}, "not <U"),
        ({"x": good().astype(">f4").reshape(4, 1, 3)}, "not >f4 (4, 1, 3)"),
        ({"x": good()[:, :2]}, "must be float32 (samples, 3), not float32 (4, 2)"),
        ({"x": good().ravel()}, "not float32 (12,)"),
        ({"x": np.float32(1)}, "not float32 ()"),
        ({"x": good()[:0]}, "holds no sample: it is float32 (0, 3)"),
        ({"x": good(3)}, "3 samples of 'x' do not fill batches of 2, which the model takes: give"),
        ({"x": good(1)}, "give 2"),
        ({"x": np.float32([[1, 2, 3], [4, np.nan, 6]])}, "NaN or infinity in sample 1"),
        ({"x": np.float32([[np.inf, 2, 3], [4, 5, 6]])}, "NaN or infinity in sample 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_that_do_not_fit_are_told(arrays, message):
    with pytest.raises(ValueError) as caught:
        cut({"a.npz": arrays}, [X])
    assert message in str(caught.value)
    assert str(caught.value).startswith("a.npz")


def test_arrays_with_different_numbers_of_batches_are_told():
    specs = [X, TensorSpec("y", (1,), "float32")]
    with pytest.raises(ValueError, match="different numbers of batches: x 2, y 3"):
        cut({"a.npz": {"x": good(4), "y": np.ones(3, "float32")}}, specs)


def test_what_no_input_takes_is_noted(capsys):
    assert len(cut({"a.npz": {"x": good(), "labels": np.arange(4)}}, [X])) == 2
    assert capsys.readouterr().err == (
        "note: a.npz: no input of the model is called labels: not used\n"
    )


def test_foreign_byte_order_is_read():
    (batch, _) = cut({"a.npz": {"x": good().astype(">f4")}}, [X])
    np.testing.assert_array_equal(batch["x"], good()[:2])


def packed(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy():
    buffer = io.BytesIO()
    np.save(buffer, good())
    return buffer.getvalue()


def zipped(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, text in content.items():
            file.writestr(name, text)
    return buffer.getvalue()


BAD_FILES = {
    "nothing": (b"", "is empty: write it with numpy.savez"),
    "text": (b"hello", "is no .npz file, or it is cut short"),
    "pickle": (b"\x80\x04N.", "is no .npz file"),
    "one array": (npy(), "is a single array without a name"),
    "cut short": (packed(x=good(1000))[:500], "is no .npz file, or it is cut short"),
    "no array": (zipped({}), "holds no array"),
    "no arrays in it": (zipped({"x": b"text"}), "'x' is no array"),
    "a cut array": (zipped({"x.npy": npy()[:100]}), "'x' is damaged or cut short"),
    "objects": (packed(x=np.array([{}])), "'x' holds Python objects, which are not read"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_are_no_data_are_told(name, tmp_path):
    content, message = BAD_FILES[name]
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_npz(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_places_without_data_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*data.npz"):
        read_npz(tmp_path / "data.npz")
    with pytest.raises(IsADirectoryError, match="is a folder: give an .npz file"):
        read_npz(tmp_path)


def test_damage_inside_a_file_is_told(tmp_path):
    content = bytearray(packed(x=good(1000)))
    content[3000] ^= 1  # the zip keeps a checksum
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="'x' is damaged or cut short: Bad CRC-32"):
        read_npz(path)


def test_random_batches_are_of_the_specification():
    specs = [X, TensorSpec("ids", (1, 7), "int64"), TensorSpec("mask", (4,), "bool")]
    batch = random_batch(specs)
    assert {name: (a.shape, str(a.dtype)) for name, a in batch.items()} == {
        spec.name: (spec.shape, spec.dtype) for spec in specs
    }
    np.testing.assert_array_equal(batch["x"], random_batch(specs)["x"])
    assert set(np.unique(batch["ids"])) <= {0, 1}


def spec(*shape):
    return [TensorSpec("x", shape, "float32")]


@pytest.mark.parametrize(
    ("declared", "options", "shape"),
    [
        (spec(2, 3), {}, (2, 3)),
        (spec(None, 3), {}, (1, 3)),
        (spec(None, 3), {"batch_size": 4}, (4, 3)),
        (spec(None, None), {"seen": {"x": (99, 7)}}, (1, 7)),
        (spec(None, None), {"seen": {"x": (99, 7)}, "batch_size": 4}, (4, 7)),
        (spec(None, 3), {"seen": {"x": (99, 7)}}, (1, 3)),  # the data will be told not to fit
        (spec(None, None), {"seen": {"x": (99, 7)}, "like": {"x": (5, 8)}}, (5, 8)),
        (spec(2, 3), {"like": {"x": (5, 3)}}, (2, 3)),
        (spec(None, None), {"given": {"x": (6, 9)}, "like": {"x": (5, 8)}}, (6, 9)),
        ([TensorSpec("x", None, "float32")], {"seen": {"x": (99, 7)}}, (1, 7)),
        (spec(), {}, ()),
        (spec(2, 3), {"batch_size": 2}, (2, 3)),
    ],
)
def test_dynamic_sizes_get_numbers(declared, options, shape):
    (found,) = settle("m", declared, **{"given": {}} | options)
    assert found.shape == shape


@pytest.mark.parametrize(
    ("declared", "options", "message"),
    [
        (
            spec(None, None),
            {},
            "m has an input of dynamic shape, x: float32 (?, ?): give --shape",
        ),
        ([TensorSpec("x", None, "float32")], {}, "dynamic shape, x: float32 (?)"),
        (spec(None, None), {"seen": {"x": (9, 7, 7)}}, "dynamic shape"),
        (spec(1, 3), {"batch_size": 2}, "--batch-size 2: m has fixed shapes, x: float32 (1, 3)"),
        (spec(None), {"given": {"y": (1,)}}, "--shape y: the inputs of m are x"),
    ],
)
def test_sizes_that_stay_open_are_told(declared, options, message):
    with pytest.raises(ValueError) as caught:
        settle("m", declared, **{"given": {}} | options)
    assert message in str(caught.value)
