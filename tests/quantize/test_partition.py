"""Partition: where groups grow and where `cast_hint` and `stop_fusion` end them."""

import pytest
from tvm import relax

from tests.quantize.graphs import constant, conv, listing, module
from tvm_book.quantize import QConfig, ops
from tvm_book.quantize.partition import Partition
from tvm_book.quantize.schemes import scheme_for

ADD, MULTIPLY, RELU = relax.op.add, relax.op.multiply, relax.op.nn.relu
SHAPE = (1, 3, 6, 6)
C = constant(3, 1, 1)


def partitioned(build, config=None, **inputs):
    config = config or QConfig()
    mod = module(build, **(inputs or {"x": SHAPE}))
    return listing(Partition.as_pass(scheme_for(config), config)(mod))


def test_conv2d_opens_a_group_that_the_result_closes():
    assert partitioned(lambda emit, x: emit(conv(x))) == [
        "conv2d(x, const)",
        "cast_hint(%0, int8)",
        "stop_fusion(%1)",
        "%2",
    ]


def test_cast_hint_names_dtype_input():
    config = QConfig(dtype_input="int16")
    assert partitioned(lambda emit, x: emit(conv(x)), config)[1] == "cast_hint(%0, int16)"


def test_conv2d_closes_the_group_of_its_data():
    assert partitioned(lambda emit, x: emit(conv(emit(conv(x))))) == [
        "conv2d(x, const)",
        "cast_hint(%0, int8)",
        "stop_fusion(%1)",
        "conv2d(%2, const)",
        "cast_hint(%3, int8)",
        "stop_fusion(%4)",
        "%5",
    ]


KEEP = {
    "relu": RELU,
    "clip": lambda x: relax.op.clip(x, 0, 6),
    "max_pool2d": lambda x: relax.op.nn.max_pool2d(x, (2, 2)),
    "add": lambda x: ADD(x, C),
}


@pytest.mark.parametrize("name", KEEP)
def test_open_group_grows_over(name):
    lines = partitioned(lambda emit, x: emit(KEEP[name](emit(conv(x)))))
    assert lines[1].startswith(f"{name}(%0")
    assert lines[2:] == ["cast_hint(%1, int8)", "stop_fusion(%2)", "%3"]


@pytest.mark.parametrize("name", KEEP)
def test_no_group_starts_at(name):
    lines = partitioned(lambda emit, x: emit(KEEP[name](x)))
    assert len(lines) == 2 and lines[1] == "%0"


CLOSE = {
    "matmul": lambda x: relax.op.matmul(x, constant(6, 2)),
    "bias_add": lambda x: ops.bias_add(x, constant(3), axis=1),
    "avg_pool2d": lambda x: relax.op.nn.avg_pool2d(x, (2, 2)),
    "reshape": lambda x: relax.op.reshape(x, (1, -1)),
    "permute_dims": relax.op.permute_dims,
    "strided_slice": lambda x: relax.op.strided_slice(x, [2], [0], [2]),
    "sigmoid": relax.op.sigmoid,
    "negative": relax.op.negative,
    "adaptive_avg_pool2d": lambda x: relax.op.nn.adaptive_avg_pool2d(x, 1),
}


@pytest.mark.parametrize("name", CLOSE)
def test_open_group_ends_before(name):
    lines = partitioned(lambda emit, x: emit(CLOSE[name](emit(conv(x)))))
    assert lines[1:3] == ["cast_hint(%0, int8)", "stop_fusion(%1)"]
    assert lines[3].startswith(f"{name}(%2")
    assert lines[4:] == ["%3"]  # the result belongs to no group: nothing to close


def test_conv1d_closes_its_data_and_opens_nothing():
    def build(emit, x):
        image = emit(conv(x))
        line = emit(relax.op.reshape(image, (1, 3, 36)))
        return emit(relax.op.nn.conv1d(line, constant(2, 3, 3)))

    assert partitioned(build)[3:] == ["reshape(%2)", "conv1d(%3, const)", "%4"]


def test_concat_closes_every_open_field():
    def build(emit, x):
        a, b = emit(conv(x)), emit(RELU(emit(conv(x, 2))))
        return emit(relax.op.concat([a, x, b], 1))

    assert partitioned(build) == [
        "conv2d(x, const)",
        "cast_hint(%0, int8)",
        "stop_fusion(%1)",
        "conv2d(x, const)",
        "relu(%3)",
        "cast_hint(%4, int8)",
        "stop_fusion(%5)",
        "concat(%2, x, %6)",
        "%7",
    ]


def test_each_use_of_an_open_value_is_closed_anew():
    def build(emit, x):
        shared = emit(conv(x))
        return relax.Tuple([emit(conv(shared)), emit(relax.op.sigmoid(shared)), shared])

    lines = partitioned(build)
    assert lines.count("cast_hint(%0, int8)") == 3


# add


def test_add_of_two_open_values_closes_both_and_is_open():
    assert partitioned(lambda emit, x: emit(ADD(emit(conv(x)), emit(conv(x))))) == [
        "conv2d(x, const)",
        "cast_hint(%0, int8)",
        "stop_fusion(%1)",
        "conv2d(x, const)",
        "cast_hint(%3, int8)",
        "stop_fusion(%4)",
        "add(%2, %5)",
        "cast_hint(%6, int8)",
        "stop_fusion(%7)",
        "%8",
    ]


def test_add_of_an_open_value_to_itself_closes_it_twice():
    def build(emit, x):
        value = emit(conv(x))
        return emit(ADD(value, value))

    lines = partitioned(build)
    assert lines[1:6] == [
        "cast_hint(%0, int8)",
        "stop_fusion(%1)",
        "cast_hint(%0, int8)",
        "stop_fusion(%3)",
        "add(%2, %4)",
    ]


def test_add_with_an_open_left_and_another_value_right_closes_and_is_plain():
    assert partitioned(lambda emit, x: emit(ADD(emit(conv(x)), x))) == [
        "conv2d(x, const)",
        "cast_hint(%0, int8)",
        "stop_fusion(%1)",
        "add(%2, x)",
        "%3",
    ]


@pytest.mark.parametrize("left", ["x", "const"])
def test_add_with_an_open_right_closes_it_and_is_plain(left):
    def build(emit, x):
        return emit(ADD(x if left == "x" else C, emit(conv(x))))

    assert partitioned(build) == [
        "conv2d(x, const)",
        "cast_hint(%0, int8)",
        "stop_fusion(%1)",
        f"add({left}, %2)",
        "%3",
    ]


# multiply


@pytest.mark.parametrize("other", ["x", "const"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_multiply_closes_an_open_operand_and_is_open(side, other):
    def build(emit, x):
        pair = [emit(conv(x)), x if other == "x" else C]
        return emit(MULTIPLY(*(pair if side == "left" else reversed(pair))))

    product = f"multiply(%2, {other})" if side == "left" else f"multiply({other}, %2)"
    assert partitioned(build) == [
        "conv2d(x, const)",
        "cast_hint(%0, int8)",
        "stop_fusion(%1)",
        product,
        "cast_hint(%3, int8)",
        "stop_fusion(%4)",
        "%5",
    ]


def test_multiply_of_two_open_values_closes_the_left_one_only():
    assert partitioned(lambda emit, x: emit(MULTIPLY(emit(conv(x)), emit(conv(x)))))[:5] == [
        "conv2d(x, const)",
        "cast_hint(%0, int8)",
        "stop_fusion(%1)",
        "conv2d(x, const)",
        "multiply(%2, %3)",
    ]


def test_multiply_of_plain_values_stays_plain():
    assert partitioned(lambda emit, x: emit(MULTIPLY(x, x))) == ["multiply(x, x)", "%0"]


# global_avg_pool2d


def test_global_avg_pool2d_closes_even_a_plain_value_and_is_plain():
    assert partitioned(lambda emit, x: emit(ops.global_avg_pool2d(x))) == [
        "cast_hint(x, int8)",
        "stop_fusion(%0)",
        "global_avg_pool2d(%1)",
        "%2",
    ]


def test_global_avg_pool2d_closes_an_open_value_once():
    lines = partitioned(lambda emit, x: emit(ops.global_avg_pool2d(emit(conv(x)))))
    assert lines[1:] == [
        "cast_hint(%0, int8)",
        "stop_fusion(%1)",
        "global_avg_pool2d(%2)",
        "%3",
    ]


# results


def test_every_field_of_a_tuple_result_is_closed():
    def build(emit, x):
        value = emit(conv(x))
        return relax.Tuple([value, x, value])

    assert partitioned(build) == [
        "conv2d(x, const)",
        "cast_hint(%0, int8)",
        "stop_fusion(%1)",
        "cast_hint(%0, int8)",
        "stop_fusion(%3)",
        "(%2, x, %4)",
    ]


def test_values_of_several_inputs():
    def build(emit, x, y):
        return emit(ADD(emit(conv(x)), emit(RELU(y))))

    assert partitioned(build, x=SHAPE, y=SHAPE)[-3:] == ["relu(y)", "add(%2, %3)", "%4"]
