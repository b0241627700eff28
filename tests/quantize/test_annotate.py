"""Annotate: which values are rounded, to the grid of which kind. ``round(%0, input)`` below."""

import pytest
from tvm import relax

from tests.quantize.graphs import constant, conv, listing, module
from tvm_book.quantize import Rule, ops, qconfig, rules
from tvm_book.quantize.annotate import Annotate
from tvm_book.quantize.partition import Partition
from tvm_book.quantize.schemes import scheme_for

ADD, MULTIPLY, RELU = relax.op.add, relax.op.multiply, relax.op.nn.relu
SHAPE = (1, 3, 6, 6)
C = constant(3, 1, 1)
CONV = ["round(x, input)", "round(const, weight)", "conv2d(%0, %1)"]


def annotated(build, partition=False, inputs=None, **options):
    config = qconfig(**{"skip_conv_layers": None, **options})
    mod = module(build, **(inputs or {"x": SHAPE}))
    if partition:
        mod = Partition.as_pass(scheme_for(config), config)(mod)
    return listing(Annotate.as_pass(scheme_for(config), config)(mod))


def after_conv(rewrite, **options):
    """Lines that follow a convolution, whose value %2 is of kind activation."""
    lines = annotated(lambda emit, x: emit(rewrite(emit(conv(x)))), **options)
    assert lines[:3] == CONV
    return lines[3:]


def hinted(emit, x):
    """Close the group of ``x`` by hand: a value of kind input."""
    return emit(ops.stop_fusion(emit(ops.cast_hint(x, "int8"))))


# layers


def test_conv2d_rounds_data_and_weight():
    assert annotated(lambda emit, x: emit(conv(x))) == [*CONV, "%2"]


def test_conv2d_narrows_an_accumulator_and_takes_an_input_as_it_is():
    lines = annotated(lambda emit, x: emit(conv(hinted(emit, emit(conv(emit(conv(x))))))))
    assert lines[2:] == [
        "conv2d(%0, %1)",
        "round(%2, input)",
        "round(const, weight)",
        "conv2d(%3, %4)",
        "round(%5, input)",  # by the hint
        "cast_hint(%6, int8)",
        "stop_fusion(%7)",
        "round(const, weight)",
        "conv2d(%8, %9)",
        "%10",
    ]


def test_a_weight_read_twice_is_rounded_once():
    weight = constant(3, 3, 1, 1)

    def build(emit, x):
        return emit(relax.op.nn.conv2d(emit(relax.op.nn.conv2d(x, weight)), weight))

    assert annotated(build)[2:] == [
        "conv2d(%0, %1)",
        "round(%2, input)",
        "conv2d(%3, %1)",
        "%4",
    ]


def test_conv2d_with_a_run_time_weight_stays_float():
    lines = annotated(
        lambda emit, x, w: emit(relax.op.nn.conv2d(emit(conv(x)), w)),
        inputs={"x": SHAPE, "w": (3, 3, 1, 1)},
    )
    assert lines == [*CONV, "conv2d(%2, w)", "%3"]


@pytest.mark.parametrize("skip", [True, False])
def test_dense_is_skipped_by_default(skip):
    lines = annotated(
        lambda emit, x: emit(relax.op.matmul(x, constant(3, 4))),
        inputs={"x": (2, 3)},
        skip_dense_layer=skip,
    )
    rounded = ["round(x, input)", "round(const, weight)", "matmul(%0, %1)", "%2"]
    assert lines == (["matmul(x, const)", "%0"] if skip else rounded)


def test_conv1d_and_3d_products_are_never_skipped():
    def build(emit, x, y):
        line = emit(relax.op.nn.conv1d(x, constant(3, 3, 1)))
        return relax.Tuple([line, emit(relax.op.matmul(y, constant(3, 4)))])

    lines = annotated(build, inputs={"x": (1, 3, 5), "y": (2, 2, 3)}, skip_conv_layers=range(5))
    assert lines == [
        "round(x, input)",
        "round(const, weight)",
        "conv1d(%0, %1)",
        "round(y, input)",
        "round(const, weight)",
        "matmul(%3, %4)",
        "barrier(%5)",
        "(%2, %6)",
    ]


def test_batch_matmul_of_two_values_rounds_both_to_inputs_and_stays_between_floats():
    lines = annotated(lambda emit, x: emit(relax.op.matmul(emit(conv(x)), x)))
    assert lines == [
        *CONV,
        "barrier(%2)",
        "round(%3, input)",
        "matmul(%4, %0)",  # x was rounded for the convolution already
        "barrier(%5)",
        "%6",
    ]


# skipping


def chain(emit, x, count=4):
    for _ in range(count):
        x = emit(conv(x))
    return x


@pytest.mark.parametrize(
    "skip, rounded", [(None, 4), ([], 4), ([0], 3), ([1, 3], 2), ([7], 4), (range(4), 0)]
)
def test_skip_conv_layers_counts_convolutions(skip, rounded):
    lines = annotated(chain, skip_conv_layers=skip)
    assert sum(line == "round(const, weight)" for line in lines) == rounded
    assert sum(line.startswith("conv2d") for line in lines) == 4


def test_convolutions_are_numbered_in_visiting_order():
    def build(emit, x):
        # bound second, read first: visited as number 0
        right, left = emit(conv(x, 2)), emit(conv(x, 3))
        return emit(relax.op.concat([left, right], 1))

    assert annotated(build, skip_conv_layers=[0])[0] == "conv2d(x, const)"
    assert annotated(build, skip_conv_layers=[1])[:4] == [
        *CONV,
        "conv2d(x, const)",
    ]


def test_conv1d_does_not_count():
    def build(emit, x):
        line = emit(relax.op.nn.conv1d(emit(relax.op.reshape(x, (1, 3, 36))), constant(3, 3, 1)))
        return emit(conv(emit(relax.op.reshape(line, SHAPE))))

    lines = annotated(build, skip_conv_layers=[0])
    assert "conv1d(%1, %2)" in lines
    assert "conv2d(%4, const)" in lines


def test_a_skipped_layer_reads_its_operands_as_they_were_annotated():
    lines = annotated(lambda emit, x: emit(conv(emit(RELU(emit(conv(x)))))), skip_conv_layers=[1])
    assert lines == [*CONV, "relu(%2)", "conv2d(%3, const)", "%4"]


# add


def test_add_of_floats_is_left():
    assert annotated(lambda emit, x: emit(ADD(x, C))) == ["add(x, const)", "%0"]


def test_add_of_a_constant_rounds_it_like_a_weight():
    assert after_conv(lambda y: ADD(y, C)) == ["round(const, weight)", "add(%2, %3)", "%4"]


def test_add_of_a_constant_on_the_left_rounds_it_like_an_input():
    assert annotated(lambda emit, x: emit(ADD(C, emit(conv(x))))) == [
        "round(const, input)",
        "round(x, input)",
        "round(const, weight)",
        "conv2d(%1, %2)",
        "add(%0, %3)",
        "%4",
    ]


def test_add_of_a_float_value_rounds_it_like_an_input():
    lines = annotated(lambda emit, x: emit(ADD(emit(conv(x)), emit(RELU(x)))))
    assert lines == [*CONV, "relu(x)", "round(%3, input)", "add(%2, %4)", "%5"]
    lines = annotated(lambda emit, x: emit(ADD(emit(RELU(x)), emit(conv(x)))))
    assert lines[:2] == ["relu(x)", "round(%0, input)"]
    assert lines[-2:] == ["add(%1, %4)", "%5"]


def test_add_of_two_accumulators_narrows_the_right_one():
    lines = annotated(lambda emit, x: emit(ADD(emit(conv(x)), emit(conv(x, kernel=1)))))
    assert lines[-4:] == ["conv2d(%0, %3)", "round(%4, input)", "add(%2, %5)", "%6"]


@pytest.mark.parametrize(
    "left, right", [("narrow", "narrow"), ("wide", "narrow"), ("narrow", "wide")]
)
def test_add_takes_operands_as_they_are_unless_both_are_accumulators(left, right):
    def build(emit, x):
        values = [emit(conv(x)), emit(conv(x))]
        pairs = zip(values, (left, right), strict=True)
        return emit(ADD(*[hinted(emit, v) if width == "narrow" else v for v, width in pairs]))

    lines = annotated(build)
    hints = sum(line.startswith("cast_hint") for line in lines)
    assert hints == [left, right].count("narrow")
    # beside that of x, only hints round to an input
    assert sum(line.endswith(", input)") for line in lines) == 1 + hints


def test_the_sum_is_an_accumulator():
    assert after_conv(lambda y: relax.op.nn.max_pool2d(ADD(y, C), (2, 2)))[2:] == [
        "round(%4, input)",
        "max_pool2d(%5)",
        "%6",
    ]


# multiply


def test_multiply_of_floats_is_left():
    assert annotated(lambda emit, x: emit(MULTIPLY(x, C))) == ["multiply(x, const)", "%0"]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("other, kind", [("constant", "weight"), ("value", "input")])
def test_multiply_narrows_the_accumulator_and_rounds_the_other_operand(side, other, kind):
    def build(emit, x):
        pair = [emit(conv(x)), C if other == "constant" else emit(RELU(x))]
        return emit(MULTIPLY(*(pair if side == "left" else reversed(pair))))

    lines = annotated(build)
    rounded = {f"%{number}": line for number, line in enumerate(lines) if "round" in line}
    assert len(rounded) == 4  # data and weight of the convolution, and both factors
    left, right = lines[-2].removeprefix("multiply(").removesuffix(")").split(", ")
    accumulator, factor = (left, right) if side == "left" else (right, left)
    source = "const" if other == "constant" else f"%{lines.index('relu(x)')}"
    assert rounded[factor] == f"round({source}, {kind})"
    conv_line = next(number for number, line in enumerate(lines) if line.startswith("conv2d"))
    assert rounded[accumulator] == f"round(%{conv_line}, input)"


def test_multiply_takes_an_input_as_it_is():
    lines = annotated(lambda emit, x: emit(MULTIPLY(hinted(emit, emit(conv(x))), C)))
    assert lines[-3:] == ["round(const, weight)", "multiply(%5, %6)", "%7"]


def test_multiply_of_two_quantized_values_narrows_both():
    # Relay refused this
    lines = annotated(lambda emit, x: emit(MULTIPLY(emit(conv(x)), hinted(emit, emit(conv(x))))))
    assert lines[2:] == [
        "conv2d(%0, %1)",
        "round(%2, input)",
        "round(const, weight)",
        "conv2d(%0, %4)",
        "round(%5, input)",
        "cast_hint(%6, int8)",
        "stop_fusion(%7)",
        "multiply(%3, %8)",
        "%9",
    ]


# operators that keep the kind, and those that do not

KEEP = {
    "relu": RELU,
    "clip": lambda x: relax.op.clip(x, 0, 6),
    "reshape": lambda x: relax.op.reshape(x, SHAPE),
    "permute_dims": lambda x: relax.op.permute_dims(x, [0, 1, 3, 2]),
    "strided_slice": lambda x: relax.op.strided_slice(x, [2], [0], [6]),
    "batch_flatten": lambda x: relax.op.reshape(relax.op.nn.batch_flatten(x), SHAPE),
    "avg_pool2d": lambda x: relax.op.nn.avg_pool2d(x, (1, 1)),
    "stop_fusion": ops.stop_fusion,
}


@pytest.mark.parametrize("name", KEEP)
def test_kind_is_kept_by(name):
    def last_lines(value_of):
        lines = annotated(lambda emit, x: emit(conv(emit(KEEP[name](value_of(emit, x))))))
        return [line for line in lines if line.startswith(("round", "conv2d", "stop"))]

    wide = last_lines(lambda emit, x: emit(conv(x)))
    narrow = last_lines(lambda emit, x: hinted(emit, emit(conv(x))))
    # an accumulator is still to be narrowed before the second convolution, an input is not
    assert sum("input" in line for line in wide) == 2
    assert wide[-3].startswith("round(%") and wide[-3].endswith(", input)")
    assert narrow[-3].startswith("stop_fusion")


@pytest.mark.parametrize("name", KEEP)
def test_float_stays_float_through(name):
    lines = annotated(lambda emit, x: emit(KEEP[name](x)))
    assert not any(line.startswith("round") for line in lines)


def test_max_pool2d_narrows_and_makes_an_input():
    lines = annotated(
        lambda emit, x: emit(conv(emit(relax.op.nn.max_pool2d(emit(conv(x)), (2, 2)))))
    )[3:]
    assert lines == [
        "round(%2, input)",
        "max_pool2d(%3)",
        "round(const, weight)",
        "conv2d(%4, %5)",
        "%6",
    ]


def test_max_pool1d_narrows():
    def build(emit, x):
        line = emit(relax.op.nn.conv1d(x, constant(3, 3, 1)))
        return emit(relax.op.nn.max_pool1d(line, 2))

    assert annotated(build, inputs={"x": (1, 3, 8)})[-3:] == [
        "round(%2, input)",
        "max_pool1d(%3)",
        "%4",
    ]


def test_cast_hint_narrows_an_accumulator():
    assert after_conv(lambda y: ops.cast_hint(y, "int8")) == [
        "round(%2, input)",
        "cast_hint(%3, int8)",
        "%4",
    ]


def test_cast_hint_on_a_float_vanishes():
    assert annotated(lambda emit, x: emit(RELU(emit(ops.cast_hint(x, "int8"))))) == [
        "relu(x)",
        "%0",
    ]


@pytest.mark.parametrize("name", ["sigmoid", "negative", "squeeze", "bias_add"])
def test_operator_without_a_rule_is_a_float_barrier(name):
    rewrite = {
        "sigmoid": relax.op.sigmoid,
        "negative": relax.op.negative,
        "squeeze": lambda x: relax.op.squeeze(x, [0]),
        "bias_add": lambda x: ops.bias_add(x, constant(3), axis=1),
    }[name]
    lines = after_conv(lambda y: MULTIPLY(rewrite(y), C))
    assert not any(line.startswith("round") for line in lines)


# concat


def test_concat_of_floats_is_left():
    lines = annotated(lambda emit, x: emit(relax.op.concat([x, x], 1)))
    assert lines == ["concat(x, x)", "%0"]


def test_concat_rounds_float_fields_to_the_wide_grid():
    lines = annotated(
        lambda emit, x: emit(relax.op.concat([emit(RELU(x)), emit(conv(x)), emit(RELU(x))], 1))
    )
    assert lines == [
        "relu(x)",
        "round(%0, activation)",
        "round(x, input)",
        "round(const, weight)",
        "conv2d(%2, %3)",
        "relu(x)",
        "round(%5, activation)",
        "concat(%1, %4, %6)",
        "%7",
    ]


# several readers


def test_a_value_read_twice_is_narrowed_once_for_all_readers():
    def build(emit, x):
        shared = emit(RELU(emit(conv(x))))
        return relax.Tuple([emit(conv(shared)), emit(conv(shared))])

    lines = annotated(build)
    assert lines[3:] == [
        "relu(%2)",
        "round(%3, input)",
        "round(const, weight)",
        "conv2d(%4, %5)",
        "round(const, weight)",
        "conv2d(%4, %7)",
        "(%6, %8)",
    ]


def test_the_result_counts_as_a_reader():
    def build(emit, x):
        shared = emit(conv(x))
        return relax.Tuple([shared, emit(RELU(shared))])

    assert annotated(build)[3:] == ["round(%2, input)", "relu(%3)", "(%3, %4)"]


def test_a_narrow_value_read_twice_is_not_rounded_again():
    def build(emit, x):
        shared = emit(relax.op.nn.max_pool2d(emit(conv(x)), (2, 2)))
        return relax.Tuple([emit(conv(shared)), emit(conv(shared))])

    lines = annotated(build)
    # the pooled values get a rounding of their own; what a rounding made does not
    assert [line for line in lines if line.endswith(", input)")] == [
        "round(x, input)",
        "round(%2, input)",
        "round(%4, input)",
    ]
    assert "conv2d(%5, %6)" in lines and "conv2d(%5, %8)" in lines


def test_a_float_value_read_twice_is_rounded_once_by_its_readers():
    def build(emit, x):
        shared = emit(relax.op.sigmoid(x))
        return relax.Tuple([emit(conv(shared)), emit(conv(shared))])

    lines = annotated(build)
    assert [line for line in lines if line.endswith(", input)")] == ["round(%0, input)"]


# global_avg_pool2d


def test_nothing_is_quantized_after_a_global_avg_pool2d_of_quantized_values():
    def build(emit, x):
        pooled = emit(ops.global_avg_pool2d(emit(conv(x))))
        return emit(conv(emit(conv(pooled))))

    assert annotated(build) == [
        *CONV,
        "global_avg_pool2d(%2)",
        "conv2d(%3, const)",
        "conv2d(%4, const)",
        "%5",
    ]


def test_later_means_later_in_visiting_order():
    def build(emit, x):
        pooled = emit(ops.global_avg_pool2d(emit(conv(x))))
        return relax.Tuple([pooled, emit(conv(x))])  # another branch

    assert annotated(build)[-2:] == ["conv2d(x, const)", "(%3, %4)"]


def test_global_avg_pool2d_of_floats_stops_nothing():
    lines = annotated(lambda emit, x: emit(conv(emit(ops.global_avg_pool2d(x)))))
    assert lines[0] == "global_avg_pool2d(x)"
    assert "round(const, weight)" in lines


# debug_enabled_ops


@pytest.mark.parametrize("name", ["nn.conv2d", "relax.nn.conv2d"])
def test_only_enabled_operators_are_annotated(name):
    lines = after_conv(lambda y: RELU(ADD(y, C)), debug_enabled_ops=[name])
    assert lines == ["add(%2, const)", "relu(%3)", "%4"]


@pytest.mark.parametrize(
    "relay, relaxed",
    [("add", "relax.add"), ("concatenate", "relax.concat"), ("transpose", "relax.permute_dims")],
)
def test_relay_and_relax_names_both_enable(relay, relaxed):
    def build(emit, x):
        turned = emit(relax.op.permute_dims(emit(ADD(emit(conv(x)), C)), [0, 1, 3, 2]))
        return emit(conv(emit(relax.op.concat([turned, x], 1))))

    every = ["nn.conv2d", "add", "concatenate", "transpose"]
    with_relay = annotated(build, debug_enabled_ops=every)
    assert with_relay == annotated(build)
    others = [name for name in every if name != relay]
    assert annotated(build, debug_enabled_ops=[*others, relaxed]) == with_relay
    assert annotated(build, debug_enabled_ops=others) != with_relay


def test_matrix_products_have_two_relay_names():
    def build(emit, x, y):
        return relax.Tuple(
            [emit(relax.op.matmul(x, constant(3, 4))), emit(relax.op.matmul(y, constant(3, 4)))]
        )

    def rounded(*enabled):
        lines = annotated(
            build,
            inputs={"x": (2, 3), "y": (2, 2, 3)},
            skip_dense_layer=False,
            debug_enabled_ops=enabled,
        )
        return [line for line in lines if line.endswith("input)")]

    assert rounded("nn.dense") == ["round(x, input)"]
    assert rounded("nn.batch_matmul") == ["round(y, input)"]
    assert rounded("relax.matmul") == ["round(x, input)", "round(y, input)"]
    assert rounded() == []


def test_markers_that_are_not_enabled_stay_in_place():
    lines = annotated(
        lambda emit, x: emit(RELU(emit(conv(x)))),
        partition=True,
        debug_enabled_ops=["nn.conv2d", "nn.relu", "annotation.stop_fusion"],
    )
    assert lines[3:] == ["relu(%2)", "cast_hint(%3, int8)", "stop_fusion(%4)", "%5"]


# rules from outside


def test_a_rule_from_outside_comes_before_the_schemes_own():
    leave = Rule("relax.nn.conv2d")
    assert annotated(lambda emit, x: emit(conv(x)), rules=[leave]) == ["conv2d(x, const)", "%0"]
    keep = Rule("relax.negative", annotate=rules.keep_kind)
    lines = after_conv(lambda y: MULTIPLY(relax.op.negative(y), C), rules=[keep])
    assert lines[:2] == ["negative(%2)", "round(%3, input)"]


# partition and annotate together


def test_a_residual_block():
    def build(emit, x):
        first = emit(RELU(emit(ADD(emit(conv(x)), C))))
        second = emit(ADD(emit(conv(first)), constant(3, 1, 1, seed=1)))
        return emit(RELU(emit(ADD(second, first))))

    assert annotated(build, partition=True) == [
        *CONV,
        "round(const, weight)",
        "add(%2, %3)",
        "relu(%4)",
        "round(%5, input)",  # read by the next convolution and by the shortcut
        "cast_hint(%6, int8)",
        "stop_fusion(%7)",
        "round(const, weight)",
        "conv2d(%8, %9)",
        "round(const, weight)",
        "add(%10, %11)",
        "round(%12, input)",
        "cast_hint(%13, int8)",
        "stop_fusion(%14)",
        "cast_hint(%6, int8)",
        "stop_fusion(%16)",
        "add(%15, %17)",
        "relu(%18)",
        "round(%19, input)",
        "cast_hint(%20, int8)",
        "stop_fusion(%21)",
        "%22",
    ]
