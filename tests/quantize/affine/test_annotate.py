"""Annotate of the affine scheme: which values are rounded. ``round(%0, input)`` below."""

import pytest
from tvm import relax

from tests.quantize.graphs import constant, conv, listing, module
from tvm_book.quantize import QConfig
from tvm_book.quantize._graph import Graph
from tvm_book.quantize.annotate import Annotate
from tvm_book.quantize.calibrate._grid import simulated
from tvm_book.quantize.rules.affine import AFFINE

add, multiply, relu, sigmoid = relax.op.add, relax.op.multiply, relax.op.nn.relu, relax.op.sigmoid
SHAPE = (1, 3, 6, 6)
C = constant(3, 1, 1)


def layer(emit, x):
    return emit(conv(x, 3))


def bias(emit, x):
    return emit(add(layer(emit, x), C))


def residual(emit, x):
    y = emit(relu(bias(emit, x)))
    return layer(emit, emit(relu(emit(add(bias(emit, y), y)))))


def gate(emit, x):
    y = bias(emit, x)
    return layer(emit, emit(multiply(y, emit(sigmoid(y)))))


def branches(emit, x):
    y = emit(relu(layer(emit, x)))
    joined = emit(relax.op.concat([y, layer(emit, y)], 1))
    return layer(emit, joined)


def pools(emit, x):
    y = emit(relax.op.nn.max_pool2d(emit(relu(layer(emit, x))), (2, 2)))
    return layer(emit, emit(relax.op.nn.avg_pool2d(y, (3, 3))))


def softmax_between(emit, x):
    return layer(emit, emit(relax.op.nn.softmax(layer(emit, x))))


def linear_attention(emit, x):
    q, k = (emit(relax.op.matmul(x, constant(4, 4, seed=i))) for i in range(2))
    return emit(relax.op.matmul(q, emit(relax.op.permute_dims(k))))


def scaled_by_constants(emit, x):
    y = emit(relu(layer(emit, x)))
    return layer(emit, emit(add(emit(multiply(y, C)), C)))


def tail(emit, x):
    return emit(sigmoid(emit(relu(layer(emit, x)))))


def slices(emit, x):
    y = emit(relu(layer(emit, x)))
    part = emit(relax.op.strided_slice(y, [2], [0], [3]))
    return layer(emit, part)


def two_sums(emit, x):
    """Only one of two accumulators may stay wide."""
    return layer(emit, emit(add(layer(emit, x), emit(conv(x, 3, kernel=1)))))


def run_time_weight(emit, x):
    return emit(relax.op.nn.conv2d(x, emit(relax.op.nn.softmax(emit(relu(x)))), padding=6))


CONV = ["round(x, input)", "round(const, weight)", "conv2d(%0, %1)"]


def reads(value, number):
    """Lines of a last layer that reads line ``value``, from line ``number`` on."""
    return ["round(const, weight)", f"conv2d(%{value}, %{number})", f"%{number + 1}"]


# what follows the first convolution, CONV
GRAPHS = {
    layer: ["%2"],
    bias: ["add(%2, const)", "%3"],  # of the accumulator
    residual: [
        "add(%2, const)", "relu(%3)", "round(%4, input)",
        "round(const, weight)", "conv2d(%5, %6)", "add(%7, const)",
        "add(%8, %5)", "relu(%9)",  # wide and narrow, rounded once
        "round(%10, input)", *reads(11, 12),
    ],
    gate: [
        "add(%2, const)", "round(%3, table)", "sigmoid(%4)", "multiply(%4, %5)",  # one function
        "round(%6, input)", *reads(7, 8),
    ],
    branches: [
        "relu(%2)", "round(%3, input)", "round(const, weight)", "conv2d(%4, %5)",
        "concat(%4, %6)", "round(%7, input)", *reads(8, 9),  # the accumulator is rounded once
    ],
    pools: [
        "relu(%2)", "round(%3, input)", "max_pool2d(%4)", "avg_pool2d(%5)",
        "round(%6, input)", *reads(7, 8),
    ],
    softmax_between: ["softmax(%2)", "round(%3, input)", *reads(4, 5)],
    scaled_by_constants: [
        "relu(%2)", "round(%3, input)", "multiply(%4, const)", "add(%5, const)",
        "round(%6, input)", *reads(7, 8),
    ],
    tail: ["relu(%2)", "sigmoid(%3)", "%4"],  # nothing reads integers
    slices: ["relu(%2)", "round(%3, input)", "strided_slice(%4)", *reads(5, 6)],
    two_sums: [
        "round(const, weight)", "conv2d(%0, %3)", "round(%4, input)", "add(%2, %5)",
        "round(%6, input)", *reads(7, 8),
    ],
}  # fmt: skip


def annotated(build, shape=SHAPE, **options):
    config = QConfig(preset="accurate", **options)
    return listing(Annotate.as_pass(AFFINE, config)(module(build, x=shape)))


@pytest.mark.parametrize("build", GRAPHS, ids=lambda build: build.__name__)
def test_roundings(build):
    assert annotated(build) == [*CONV, *GRAPHS[build]]


def test_the_right_side_of_a_product_has_no_zero_point():
    assert annotated(linear_attention, (4, 4)) == [
        *["round(x, input)", "round(const, weight)", "matmul(%0, %1)", "round(%2, input)"],
        *["round(const, weight)", "matmul(%0, %4)", "round(%5, symmetric)", "permute_dims(%6)"],
        *["matmul(%3, %7)", "%8"],
    ]


def test_a_weight_computed_at_run_time_stays_in_float():
    lines = annotated(run_time_weight)
    assert lines == ["relu(x)", "softmax(%0)", "conv2d(x, %1)", "%2"]


def test_weights_say_which_axis_holds_their_channels():
    mod = module(lambda emit, x: emit(relax.op.matmul(x, constant(3, 5))), x=(2, 3))
    mod = Annotate.as_pass(AFFINE, QConfig(preset="accurate"))(mod)
    graph = Graph(mod["main"])
    axes = [call.attrs["axis"] for call in simulated(graph) if call.attrs["kind"] == "weight"]
    assert axes == [1]


def test_operators_that_are_not_enabled_stay_in_float():
    lines = annotated(pools, debug_enabled_ops=["nn.conv2d", "nn.relu"])
    assert lines[:4] == [*CONV, "relu(%2)"]
    assert lines[4:7] == ["max_pool2d(%3)", "avg_pool2d(%4)", "round(%5, input)"]


def test_skipped_layers_stay_in_float():
    assert annotated(bias, skip="relax.nn.conv2d") == ["conv2d(x, const)", "add(%0, const)", "%1"]
    assert annotated(layer, skip_conv_layers=[0]) == ["conv2d(x, const)", "%0"]
    # the second layer asks for the result of the first, which is float now
    lines = annotated(softmax_between, skip="relax.nn.conv2d@0")
    assert lines[:3] == ["conv2d(x, const)", "softmax(%0)", "round(%1, input)"]
