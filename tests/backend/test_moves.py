"""Operators that only move elements: views where strides can say it, and never wrong."""

import numpy as np
import pytest
import torch
import tvm
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op

from tests.backend.levels import LEVELS, TARGET
from tvm_book.backend import build
from tvm_book.backend.kernels._view import dense

SIZES = st.sampled_from([1, 3, 5, 17])


def lowered(body, shapes, dtype, level=None, threads=2):
    """Return what runs ``body(emit, *tensors)``, and the operators of its kernels."""
    builder = relax.BlockBuilder()
    params = [relax.Var("x", relax.TensorType(shape, dtype)) for shape in shapes]
    with builder.function("main", params):
        with builder.dataflow():
            out = builder.emit_output(body(builder.emit, *params))
        builder.emit_func_output(out)
    built = build(builder.get(), TARGET, level, threads)
    machine = relax.VirtualMachine(built.executable, tvm.cpu())

    def run(*arrays):
        results = machine["main"](*map(tvm.runtime.tensor, arrays))
        return [r.numpy() for r in ([results] if hasattr(results, "numpy") else results)]

    return run, [call.operators[0] for call in built.calls]


def integers(shape, seed=0):
    return np.random.default_rng(seed).integers(-128, 128, shape).astype("int8")


@st.composite
def moved(draw):
    """Some moves, as (what makes the Relax, what makes the NumPy array)."""
    shape = draw(st.lists(SIZES, min_size=1, max_size=4))
    start, steps = tuple(shape), []
    for _ in range(draw(st.integers(1, 4))):
        rank = len(shape)
        kind = draw(st.sampled_from(["permute", "slice", "split", "reshape", "pad", "expand"]))
        axis = draw(st.integers(0, rank - 1))
        if kind == "permute":
            order = draw(st.permutations(range(rank)))
            steps.append((kind, order))
            shape = [shape[a] for a in order]
        elif kind == "slice":
            begin = draw(st.integers(0, shape[axis] - 1))
            end = draw(st.integers(begin + 1, shape[axis]))
            step = draw(st.integers(1, 2))
            steps.append((kind, axis, begin, end, step))
            shape[axis] = len(range(begin, end, step))
        elif kind == "split" and shape[axis] > 1:
            cut = draw(st.integers(1, shape[axis] - 1))
            part = draw(st.integers(0, 1))
            steps.append((kind, axis, cut, part))
            shape[axis] = (cut, shape[axis] - cut)[part]
        elif kind == "reshape" and rank > 1:
            shape = [*shape[:-2], shape[-2] * shape[-1]]
            steps.append((kind, tuple(shape)))
        elif kind == "pad" and rank < 4:
            widths = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
            steps.append((kind, widths))
            pairs = zip(shape, widths[::2], widths[1::2], strict=True)
            shape = [n + b + a for n, b, a in pairs]
        elif kind == "expand" and rank < 4:
            steps.append((kind, axis, (*shape[:axis], 2, *shape[axis:])))
            shape.insert(axis, 2)
    return start, steps


def as_relax(emit, x, steps):
    for kind, *rest in steps:
        if kind == "permute":
            x = emit(op.permute_dims(x, rest[0]))
        elif kind == "slice":
            axis, begin, end, step = rest
            x = emit(op.strided_slice(x, [axis], [begin], [end], [step]))
        elif kind == "split":
            axis, cut, part = rest
            x = emit(relax.TupleGetItem(emit(op.split(x, [cut], axis)), part))
        elif kind == "reshape":
            x = emit(op.reshape(x, rest[0]))
        elif kind == "pad":
            x = emit(op.nn.pad(x, rest[0], "constant", 3))
        elif kind == "expand":
            axis, shape = rest
            x = emit(op.broadcast_to(emit(op.expand_dims(x, axis)), shape))
    return x


def as_numpy(x, steps):
    for kind, *rest in steps:
        if kind == "permute":
            x = x.transpose(rest[0])
        elif kind == "slice":
            axis, begin, end, step = rest
            x = x[(slice(None),) * axis + (slice(begin, end, step),)]
        elif kind == "split":
            axis, cut, part = rest
            x = np.split(x, [cut], axis)[part]
        elif kind == "reshape":
            x = x.reshape(rest[0])
        elif kind == "pad":
            pairs = list(zip(rest[0][::2], rest[0][1::2], strict=True))
            x = np.pad(x, pairs, constant_values=3)
        elif kind == "expand":
            axis, shape = rest
            x = np.broadcast_to(np.expand_dims(x, axis), shape)
    return x


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_moves_between_elementwise_operators(level, dtype):
    """Several chains in a module: a kernel writes what they read, and reads what they make."""

    @given(st.lists(moved(), min_size=8, max_size=8))
    @settings(
        max_examples=2,  # the first one is the simplest
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def any_moves(chains):
        one = relax.const(1, dtype)

        def body(emit, *inputs):
            results = []
            for x, (_, steps) in zip(inputs, chains, strict=True):
                results.append(emit(op.add(as_relax(emit, emit(op.add(x, one)), steps), one)))
                results.append(as_relax(emit, x, steps))
            return relax.Tuple(results)

        run, _ = lowered(body, [shape for shape, _ in chains], dtype, level)
        arrays = [integers(shape).astype(dtype) for shape, _ in chains]
        results = iter(run(*arrays))
        for array, (_, steps) in zip(arrays, chains, strict=True):
            added = as_numpy(array + array.dtype.type(1), steps) + array.dtype.type(1)
            np.testing.assert_array_equal(next(results), added)
            np.testing.assert_array_equal(next(results), as_numpy(array, steps))

    any_moves()


def attention(emit, qkv, cut):
    """Three parts of a tensor as heads, and the products of two of them and of the third."""
    heads = []
    for number, part in enumerate(cut(emit, qkv)):
        x = emit(op.permute_dims(emit(op.reshape(part, (2, 17, 3, 16))), (0, 2, 1, 3)))
        heads.append(emit(op.permute_dims(x, (0, 1, 3, 2))) if number == 1 else x)
    q, k, v = heads
    scores = emit(op.astype(emit(op.matmul(q, k, out_dtype="int32")), "int8"))
    mixed = emit(op.astype(emit(op.matmul(scores, v, out_dtype="int32")), "int8"))
    merged = emit(op.reshape(emit(op.permute_dims(mixed, (0, 2, 1, 3))), (2, 17, 48)))
    return merged


def by_slices(emit, x):
    return [emit(op.strided_slice(x, [2], [i], [i + 48])) for i in (0, 48, 96)]


def by_split(emit, x):
    parts = emit(op.split(x, 3, axis=2))
    return [emit(relax.TupleGetItem(parts, i)) for i in range(3)]


@pytest.mark.parametrize("cut", [by_slices, by_split])
def test_attention_copies_nothing_between_its_products(cut):
    weights = integers((20, 144), 1), integers((48, 5), 2)

    def body(emit, x):
        qkv = emit(op.matmul(x, relax.const(weights[0], "int8"), out_dtype="int32"))
        merged = attention(emit, emit(op.astype(qkv, "int8")), cut)
        return emit(op.matmul(merged, relax.const(weights[1], "int8"), out_dtype="int32"))

    run, kernels = lowered(body, [(2, 17, 20)], "int8")
    # The caller's array is no kernel's: the one copy lays it out.
    assert kernels == ["copy", "matmul", *["pack_int8", "matmul"] * 2, "matmul"]
    x = integers((2, 17, 20))
    qkv = (x.astype("int64") @ weights[0]).astype("int8").astype("int64")
    q, k, v = (qkv[..., i : i + 48].reshape(2, 17, 3, 16).swapaxes(1, 2) for i in (0, 48, 96))
    scores = (q @ k.swapaxes(2, 3)).astype("int8").astype("int64")
    mixed = (scores @ v).astype("int8").astype("int64").swapaxes(1, 2).reshape(2, 17, 48)
    np.testing.assert_array_equal(run(x)[0], mixed @ weights[1])


def convolution(emit, x, weights, padding=1):
    constant = relax.const(weights, "int8")
    return emit(op.nn.conv2d(x, constant, padding=padding, out_dtype="int32"))


def reference(x, weights, padding=1):
    x, weights = (torch.from_numpy(v.astype("float64")) for v in (x, weights))
    return torch.nn.functional.conv2d(x, weights, padding=padding).numpy().astype("int64")


def test_channels_of_images_are_slices_that_keep_the_room_around_them():
    """Of ShuffleNet: one half of the channels goes on, the other through a convolution."""
    first, second = integers((40, 3, 3, 3), 1), integers((8, 20, 3, 3), 2)

    def body(emit, x):
        images = emit(op.astype(convolution(emit, x, first), "int8"))
        halves = emit(op.split(images, 2, axis=1))
        halves = [emit(relax.TupleGetItem(halves, i)) for i in range(2)]
        return relax.Tuple([convolution(emit, half, second) for half in halves])

    run, kernels = lowered(body, [(1, 3, 9, 7)], "int8")
    assert kernels.count("nn.conv2d") == 3
    assert "copy" not in kernels[kernels.index("nn.conv2d") + 1 : kernels.index("nn.conv2d") + 2]
    x = integers((1, 3, 9, 7))
    images = reference(x, first).astype("int8")
    for half, result in zip(np.split(images, 2, axis=1), run(x), strict=True):
        np.testing.assert_array_equal(result, reference(half, second))


@pytest.mark.parametrize("axis", [2, 3])
def test_a_slice_of_rows_is_padded_with_zeros_not_with_its_neighbours(axis):
    first, second = integers((17, 3, 3, 3), 1), integers((5, 17, 3, 3), 2)

    def body(emit, x):
        images = emit(op.astype(convolution(emit, x, first), "int8"))
        part = emit(op.strided_slice(images, [axis], [2], [5]))
        return relax.Tuple([convolution(emit, part, second), convolution(emit, images, second)])

    run, _ = lowered(body, [(2, 3, 9, 8)], "int8")
    x = integers((2, 3, 9, 8))
    images = reference(x, first).astype("int8")
    part = images.take(range(2, 5), axis)
    for given_, result in zip((part, images), run(x), strict=True):
        np.testing.assert_array_equal(result, reference(given_, second))


def test_channels_last_in_the_model_need_no_copy():
    """A permute_dims between a product of matrices and a convolution is free, halo and all."""
    weights, kernel = integers((20, 20), 1), integers((5, 20, 3, 3), 2)

    def body(emit, x):
        y = emit(op.matmul(x, relax.const(weights, "int8"), out_dtype="int32"))
        y = emit(op.permute_dims(emit(op.astype(y, "int8")), (0, 3, 1, 2)))
        return convolution(emit, y, kernel)

    run, kernels = lowered(body, [(2, 6, 7, 20)], "int8")
    assert kernels[1:3] == ["matmul", "nn.conv2d"]
    x = integers((2, 6, 7, 20))
    images = (x.astype("int64") @ weights).astype("int8").transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(run(x)[0], reference(images, kernel))


def test_a_split_that_is_returned_whole():
    def body(emit, x):
        y = emit(op.add(x, relax.const(1, "int8")))
        return emit(op.split(y, 2, axis=0))

    run, _ = lowered(body, [(4, 3)], "int8")
    x = integers((4, 3))
    for expected, result in zip(np.split(x + np.int8(1), 2), run(x), strict=True):
        np.testing.assert_array_equal(result, expected)


def test_a_slice_knows_what_lies_behind_it():
    view = dense((4, 20), "int8")
    assert view.slice(1, 4, 8).slack == 8
    assert view.slice(1, 4, 8, 2).slack == 0
    assert view.slice(0, 1, 2).slack == view.slack
