"""The reference itself: results worked out by hand, errors, and the other ways to say the same."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from tvm import relax
from tvm.relax import op
from tvm.script import ir as I
from tvm.script import relax as R

from tests.quantize.graphs import module
from tvm_book.quantize import ops
from tvm_book.testing import integer_reference
from tvm_book.testing._reference import APPROXIMATE, OPERATORS


def const(values, dtype="float32"):
    return relax.const(np.asarray(values, dtype), dtype)


def compute(build, *arrays):
    """Return what the reference makes of an expression of inputs like the arrays."""
    arrays = [np.asarray(a) for a in arrays]
    inputs = {f"x{i}": (a.shape, str(a.dtype)) for i, a in enumerate(arrays)}
    return integer_reference(module(lambda emit, *x: emit(build(*x)), **inputs), *arrays)


def check(expected, build, *arrays):
    out = compute(build, *arrays)
    np.testing.assert_array_equal(out, expected)
    assert out.dtype == np.asarray(expected).dtype


def i8(*values):
    return np.array(values, "int8")


def i32(*values):
    return np.array(values, "int32")


def f32(*values):
    return np.array(values, "float32")


# integers

BIG = 2**31 - 1
BY_HAND = {
    "add wraps": (i8(-128, 127), op.add, [i8(127, -128), i8(1, -1)]),
    "multiply wraps": (i32(-2, 1), op.multiply, [i32(BIG, BIG), i32(2, BIG)]),
    "subtract wraps": (i8(127), op.subtract, [i8(-128), i8(1)]),
    "the lowest is its own negative": (i8(-128, -127), op.negative, [i8(-128, 127)]),
    "left shift drops bits": (i8(-64, 64, 0), op.left_shift, [i8(3, 1, 2), i8(6, 6, 7)]),
    "right shift of negatives rounds down": (
        i8(-1, -2, -1, 1, 0),
        op.right_shift,
        [i8(-1, -3, -4, 3, 1), i8(1, 1, 3, 1, 1)],
    ),
    "divide truncates": (i32(-2, 2, -2, 2), op.divide, [i32(-7, 7, 7, -7), i32(3, 3, -3, -3)]),
    "floor_divide rounds down": (i32(-3, 2, -3), op.floor_divide, [i32(-7, 7, 7), i32(3, 3, -3)]),
    "mod has the sign of the first": (i32(-1, 1), op.mod, [i32(-7, 7), i32(3, -3)]),
    "abs of the lowest": (i8(-128, 5), op.abs, [i8(-128, -5)]),
    "maximum": (i8(3, -2), op.maximum, [i8(3, -7), i8(-1, -2)]),
    "clip": (i8(-3, 0, 5), lambda x: op.clip(x, -3, 5), [i8(-128, 0, 127)]),
    "clip beyond the type": (i8(-128, 127), lambda x: op.clip(x, -1000, 1000), [i8(-128, 127)]),
    "relu": (i8(0, 0, 7), op.nn.relu, [i8(-7, 0, 7)]),
    "narrowing wraps": (i8(0, -128, 127), lambda x: op.astype(x, "int8"), [i32(256, 128, -129)]),
    "widening keeps": (i32(-128, 127), lambda x: op.astype(x, "int32"), [i8(-128, 127)]),
    "floats are truncated": (
        i32(-1, 1, 0),
        lambda x: op.astype(x, "int32"),
        [f32(-1.9, 1.9, -0.9)],
    ),
    "sum wraps": (i8(-128), lambda x: op.sum(x, [0], keepdims=True), [i8(64, 64)]),
    "max": (i32(4, 9), lambda x: op.max(x, 1), [np.int32([[4, -7], [9, 9]])]),
    # float operators of which IEEE 754 leaves no choice
    "round to even": (f32(0, 2, 2, -0.0, -2), op.round, [f32(0.5, 1.5, 2.5, -0.5, -2.5)]),
    "round half away": (
        f32(1, 2, 3, -1, -3, 0, 8388609),
        ops.round_half_away,
        [f32(0.5, 1.5, 2.5, -0.5, -2.5, 0.49999997, 8388609)],
    ),
    "floor, not truncation": (f32(-2, 1), op.floor, [f32(-1.5, 1.5)]),
    "products round to float32": (
        f32(2**24),  # 2**24 + 1 has no float32
        op.multiply,
        [f32(2**24 + 2), f32(1 - 2.0**-23)],
    ),
    "leakyrelu takes a float32 slope": (
        f32(np.float32(-3) * np.float32(0.1), 3),
        lambda x: op.nn.leakyrelu(x, 0.1),
        [f32(-3, 3)],
    ),
    # grids
    "quantize: ties to even, then the zero point, then the ends": (
        i8(3, 3, 5, 127, -128),
        lambda x: op.quantize(x, const(0.5), const(3, "int32"), out_dtype="int8"),
        [f32(0, 0.25, 0.75, 1e9, -1e9)],
    ),
    "quantize divides": (  # times 1 / 0.1 it would be 15.5, and 16
        i8(15),
        lambda x: op.quantize(x, const(0.1), const(0, "int32"), out_dtype="int8"),
        [f32(1.55)],
    ),
    "dequantize leaves int8": (  # -128 - 127 = -255
        f32(-127.5),
        lambda x: op.dequantize(x, const(0.5), const(127, "int32")),
        [i8(-128)],
    ),
    "dequantize by channel": (
        np.float32([[1, 4]]),
        lambda x: op.dequantize(x, const([0.5, 2]), const([-1, 0], "int32"), axis=1),
        [np.int8([[1, 2]])],
    ),
    # moves
    "take": (
        i8(30, 10),
        lambda i: op.take(const([10, 20, 30], "int8"), i, axis=0, mode="clip"),
        [i32(2, 0)],
    ),
    "take clips": (
        i8(10, 30),
        lambda i: op.take(const([10, 20, 30], "int8"), i, axis=0, mode="clip"),
        [i32(-5, 9)],
    ),
    "pad with a zero point": (
        np.int8([[[-5, 1, 2, -5, -5]]]),
        lambda x: op.nn.pad(x, [0, 0, 0, 0, 1, 2], pad_value=-5.0),
        [np.int8([[[1, 2]]])],
    ),
    "pad by reflection": (
        i8(3, 2, 1, 2, 3, 2),
        lambda x: op.nn.pad(x, [2, 1], pad_mode="reflect"),
        [i8(1, 2, 3)],
    ),
    "concat": (
        i8(1, 2, 3),
        lambda a, b: op.concat([a, b], 0),
        [i8(1), i8(2, 3)],
    ),
    "slice with steps": (
        i8(1, 3),
        lambda x: op.strided_slice(x, [0], [1], [100], [2]),
        [i8(0, 1, 2, 3)],
    ),
    "slice backwards": (
        i8(3, 1),
        lambda x: op.strided_slice(x, [0], [-1], [-100], [-2]),
        [i8(0, 1, 2, 3)],
    ),
    "permute": (np.int8([[1, 3], [2, 4]]), op.permute_dims, [np.int8([[1, 2], [3, 4]])]),
    "nearest pixels": (
        np.int8([[[[1, 1, 2, 2]]]]),
        lambda x: op.image.resize2d(
            x,
            (1, 4),
            method="nearest_neighbor",
            coordinate_transformation_mode="asymmetric",
            rounding_method="floor",
        ),
        [np.int8([[[[1, 2]]]])],
    ),
    "pixel_shuffle": (
        np.int8([[[[1, 2], [3, 4]]]]),
        lambda x: op.nn.pixel_shuffle(x, 2),
        [np.int8([1, 2, 3, 4]).reshape(1, 4, 1, 1)],
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name):
    expected, build, arrays = BY_HAND[name]
    check(expected, build, *arrays)


def test_split_into_tuples():
    mod = module(lambda emit, x: emit(op.split(x, [1], axis=0)), x=((3,), "int8"))
    first, rest = integer_reference(mod, i8(1, 2, 3))
    np.testing.assert_array_equal(first, [1])
    np.testing.assert_array_equal(rest, [2, 3])


# layers


def conv1d(x, w, **options):
    return op.nn.conv1d(x, w, out_dtype="int32", **options)


def test_convolution_by_hand():
    x, w = np.int8([[[1, 2, 3, 4]]]), np.int8([[[1, 10]]])
    check(np.int32([[[21, 32, 43]]]), conv1d, x, w)  # it does not turn the kernel around
    check(np.int32([[[10, 32, 4]]]), lambda a, b: conv1d(a, b, strides=2, padding=1), x, w)
    check(np.int32([[[31, 42]]]), lambda a, b: conv1d(a, b, dilation=2), x, w)
    check(np.int32([[[21, 32, 43, 4]]]), lambda a, b: conv1d(a, b, padding=[0, 1]), x, w)


def test_groups_by_hand():
    x, w = np.int8([[[1], [2], [3], [4]]]), np.int8([[[1], [10]], [[100], [1]]])
    check(np.int32([[[21], [304]]]), lambda a, b: conv1d(a, b, groups=2), x, w)


def test_transposed_convolution_by_hand():
    def up(x, w, **options):
        return op.nn.conv1d_transpose(x, w, out_dtype="int32", **options)

    x, w = np.int8([[[1, 2]]]), np.int8([[[1, 10, 100]]])
    check(np.int32([[[1, 12, 120, 200]]]), up, x, w)
    check(np.int32([[[1, 10, 102, 20, 200]]]), lambda a, b: up(a, b, strides=2), x, w)
    check(np.int32([[[12, 120]]]), lambda a, b: up(a, b, padding=1), x, w)
    check(
        np.int32([[[10, 102, 20, 200]]]),
        lambda a, b: up(a, b, strides=2, padding=1, output_padding=1),
        x,
        w,
    )
    check(np.int32([[[1, 2, 10, 20, 100, 200]]]), lambda a, b: up(a, b, dilation=2), x, w)


def test_sums_of_layers_wrap():
    """2**16 products of 2**15 are 2**31; of two more bits each, they wrap around int64 twice."""
    x = np.full((1, 2**16), -(2**15), "int16")
    check(
        np.int32([[-(2**31)]]),
        lambda a, b: op.matmul(a, b, out_dtype="int32"),
        x,
        np.full((2**16, 1), -1, "int16"),
    )
    check(
        np.int32([[0]]),
        lambda a, b: op.matmul(a, b, out_dtype="int32"),
        x.astype("int32") * 2**16,
        np.full((2**16, 1), 2**30, "int32"),
    )


def test_sums_beyond_float64_are_exact():
    """2**53 + 1 has no float64: such products are done in integers."""
    a, b = np.int64([[2**53, 1]]), np.int64([[1], [1]])
    check(np.int64([[2**53 + 1]]), lambda x, y: op.matmul(x, y, out_dtype="int64"), a, b)


def test_floats_are_added_in_index_order():
    """1 is lost beside 2**24, and not beside 0."""
    x = f32(2**24, 1, -(2**24), 1)
    ones = np.ones((4, 1), "float32")
    check(np.float32([[1]]), op.matmul, x[None], ones)
    check(np.float32([[2]]), op.matmul, x[None, [0, 2, 1, 3]], ones)
    check(np.float32(1), lambda a: op.sum(a), x)
    channels, taps = x.reshape(1, 4, 1), x.reshape(1, 1, 4)
    check(np.float32([[[1]]]), op.nn.conv1d, channels, np.ones((1, 4, 1), "float32"))
    check(np.float32([[[1]]]), op.nn.conv1d, taps, np.ones((1, 1, 4), "float32"))
    # channels outside, taps inside
    both = np.float32([[[2**24, 1], [-(2**24), 1]]])
    check(np.float32([[[1]]]), op.nn.conv1d, both, np.ones((1, 2, 2), "float32"))
    check(np.float32([[[0.25]]]), pool1d("avg", pool_size=4), x.reshape(1, 1, 4))


# pools


def pool1d(name, **options):
    return lambda x: getattr(op.nn, f"{name}_pool1d")(x, **options)


def test_pools_by_hand():
    x = np.int8([[[-7, -4, -5]]])
    check(np.int8([[[-4, -4]]]), pool1d("max", pool_size=2), x)
    # the border is no element, however low the others are
    check(np.int8([[[-7, -4]]]), pool1d("max", pool_size=2, strides=2, padding=[1, 0]), x)
    check(np.int8([[[-4, -5]]]), pool1d("max", pool_size=2, strides=2, ceil_mode=True), x)
    # -11 / 2 and -9 / 2, truncated
    check(np.int32([[[-5, -4]]]), pool1d("avg", pool_size=2), x.astype("int32"))


@pytest.mark.parametrize(("count_include_pad", "ends"), [(True, [0.5, 2.5]), (False, [1, 5])])
def test_what_an_average_divides_by(count_include_pad, ends):
    pool = pool1d("avg", pool_size=2, strides=2, padding=1, count_include_pad=count_include_pad)
    expected = np.float32([[[ends[0], 3, ends[1]]]])
    check(expected, pool, f32(1, 2, 4, 5).reshape(1, 1, 4))


def test_global_average_truncates():
    x = np.int32([[[[-3, -4]]]])
    check(np.int32([[[[-3]]]]), ops.global_avg_pool2d, x)


def test_adaptive_windows_overlap():
    check(
        np.float32([[[[1.5, 2.5]]]]),
        lambda x: op.nn.adaptive_avg_pool2d(x, (1, 2)),
        f32(1, 2, 3).reshape(1, 1, 1, 3),
    )


# a requantization, against Python's integers


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**30), 2**30),
    st.integers(-(2**60), 2**60),
    st.integers(1, 61),
)
@settings(max_examples=200)
def test_a_fixed_point_chain_is_what_python_computes(x, multiplier, constant, shift):
    def build(a):
        a = op.multiply(op.astype(a, "int64"), const(multiplier, "int64"))
        a = op.right_shift(op.add(a, const(constant, "int64")), const(shift, "int64"))
        return op.astype(op.clip(a, -128, 127), "int8")

    exact = (x * multiplier + constant) >> shift
    check(i8(min(max(exact, -128), 127)), build, i32(x))


# layers, against torch in float64


@given(st.data())
@settings(max_examples=60)
def test_layers_are_those_of_torch(data):
    number = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    rng = np.random.default_rng(number(0, 999))
    n, groups, rank = number(1, 2), number(1, 3), number(1, 2)
    inner, outer = number(1, 3), number(1, 3)
    kernel, stride, dilation, padding = (
        [number(*ends) for _ in range(rank)] for ends in ((1, 3), (1, 3), (1, 2), (0, 2))
    )
    sizes = [5 + number(0, 3) for _ in range(rank)]
    x = rng.integers(-128, 128, (n, groups * inner, *sizes)).astype("int8")
    options = {"groups": groups, "dilation": dilation}
    common = options | {"strides": stride, "padding": padding + padding, "out_dtype": "int32"}

    w = rng.integers(-127, 128, (groups * outer, inner, *kernel)).astype("int8")
    exact = getattr(functional, f"conv{rank}d")(
        torch.from_numpy(x).double(),
        torch.from_numpy(w).double(),
        stride=stride,
        padding=padding,
        **options,
    )
    emit = getattr(op.nn, f"conv{rank}d")
    check(exact.numpy().astype("int32"), lambda a, b: emit(a, b, **common), x, w)

    w = rng.integers(-127, 128, (groups * inner, outer, *kernel)).astype("int8")
    beyond = [number(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True)]
    beyond = [min(b, s - 1) for b, s in zip(beyond, stride, strict=True)]
    exact = getattr(functional, f"conv_transpose{rank}d")(
        torch.from_numpy(x).double(),
        torch.from_numpy(w).double(),
        stride=stride,
        padding=padding,
        output_padding=beyond,
        **options,
    )
    emit = getattr(op.nn, f"conv{rank}d_transpose")
    check(
        exact.numpy().astype("int32"),
        lambda a, b: emit(a, b, output_padding=beyond, **common),
        x,
        w,
    )


X = np.random.default_rng(0).standard_normal((2, 4, 3, 8)).astype("float32")
GAMMA, BETA = f32(*range(1, 9)), f32(*range(8))
FUNCTIONS = {
    "sigmoid": (op.sigmoid, torch.sigmoid),
    "tanh": (op.tanh, torch.tanh),
    "exp": (op.exp, torch.exp),
    "erf": (op.erf, torch.erf),
    "silu": (op.nn.silu, functional.silu),
    "gelu": (op.nn.gelu, functional.gelu),
    "gelu_tanh": (op.nn.gelu_tanh, lambda x: functional.gelu(x, approximate="tanh")),
    "selu": (op.nn.selu, functional.selu),
    "softplus": (op.nn.softplus, functional.softplus),
    "softmax": (lambda x: op.nn.softmax(x, 1), lambda x: functional.softmax(x, 1)),
    "log_softmax": (op.nn.log_softmax, lambda x: functional.log_softmax(x, -1)),
    "variance": (lambda x: op.variance(x, [1]), lambda x: x.var(1, correction=0)),
    "layer_norm": (
        lambda x: op.nn.layer_norm(x, const(GAMMA), const(BETA), axes=[-1]),
        lambda x: functional.layer_norm(
            x, (8,), torch.from_numpy(GAMMA).double(), torch.from_numpy(BETA).double()
        ),
    ),
    "group_norm": (
        lambda x: op.nn.group_norm(
            x, const(GAMMA[:4]), const(BETA[:4]), num_groups=2, channel_axis=1, axes=[2, 3]
        ),
        lambda x: functional.group_norm(
            x, 2, torch.from_numpy(GAMMA[:4]).double(), torch.from_numpy(BETA[:4]).double()
        ),
    ),
    "resize2d": (
        lambda x: op.image.resize2d(
            x, (6, 16), method="linear", coordinate_transformation_mode="half_pixel"
        ),
        lambda x: functional.interpolate(x, (6, 16), mode="bilinear"),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float_operators_are_rounded_once(name):
    """Torch in float64 rounds to the same float32, but where the two float64 straddle a tie."""
    build, exact = FUNCTIONS[name]
    out, expected = compute(build, X), exact(torch.from_numpy(X).double()).numpy()
    np.testing.assert_allclose(out, expected.astype("float32"), rtol=2**-23, atol=0)
    assert np.mean(out == expected.astype("float32")) > 0.99


# modules


@I.ir_module
class Parts:
    @R.function
    def double(x: R.Tensor((2,), "int8")) -> R.Tuple(
        R.Tensor((2,), "int8"), R.Tensor((2,), "int8")
    ):
        y = R.add(x, x)
        return (y, x)

    @R.function
    def main(x: R.Tensor((2,), "int8")) -> R.Tuple(
        R.Tensor((2,), "int8"), R.Tuple(R.Tensor((2,), "int8"), R.Tensor((2,), "int8"))
    ):
        cls = Parts
        parts = cls.double(x)
        first = parts[0]
        again = cls.double(first)
        return (first, again)


def test_calls_tuples_and_fields():
    x = i8(3, 100)
    first, (second, same) = integer_reference(Parts, x=x)
    np.testing.assert_array_equal(first, [6, -56])
    np.testing.assert_array_equal(second, [12, -112])
    np.testing.assert_array_equal(same, first)
    assert not np.shares_memory(same, first)


def test_results_are_no_views_of_inputs():
    x = np.arange(4, dtype="int8").reshape(2, 2)
    out = compute(op.permute_dims, x)
    out[:] = 0
    np.testing.assert_array_equal(x, [[0, 1], [2, 3]])


@I.ir_module
class Branching:
    @R.function
    def main(x: R.Tensor((), "bool")) -> R.Tensor((), "bool"):
        if x:
            y = R.logical_not(x)
        else:
            y = x
        return y


def test_control_flow_is_refused():
    with pytest.raises(NotImplementedError, match="y has control flow"):
        integer_reference(Branching, np.array(True))


def test_an_unknown_operator_is_named_with_those_that_are_known():
    mod = module(lambda emit, x: emit(op.sort(x)), x=((2,), "int8"))
    with pytest.raises(NotImplementedError, match=r"no operator relax\.sort; it knows abs, .*take"):
        integer_reference(mod, i8(1, 2))


@pytest.mark.parametrize(
    ("args", "inputs", "error", "message"),
    [
        ((), {}, TypeError, "no value for input 'x'"),
        ((i8(1, 2),), {"y": i8(1, 2)}, TypeError, "no input 'y'"),
        ((i8(1, 2),), {"x": i8(1, 2)}, TypeError, "'x' is given twice"),
        ((i8(1),), {}, ValueError, "'x' must have shape (2,), not (1,)"),
        ((i32(1, 2),), {}, TypeError, "'x' must be int8, not int32"),
    ],
)
def test_wrong_inputs(args, inputs, error, message):
    with pytest.raises(error, match=re.escape(message)):
        integer_reference(Parts, *args, **inputs)


def test_what_is_not_exact_is_written_down():
    assert {"relax.nn.softmax", "relax.nn.gelu", "relax.exp"} <= APPROXIMATE <= set(OPERATORS)
    assert not APPROXIMATE & {"relax.sqrt", "relax.divide", "relax.quantize", "relax.nn.conv2d"}
