"""Realize: which integer arithmetic stands for each operator, and what it computes."""

import re
from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import relax

from tests.quantize.graphs import array, constant, listing, module, op_names, run
from tvm_book.conformance import import_case
from tvm_book.quantize import ops, qconfig, quantize
from tvm_book.quantize.numerics import fixed_point_multiply, round_half_away
from tvm_book.quantize.realize import Realize
from tvm_book.quantize.schemes import scheme_for
from tvm_book.quantize.simulate import Simulate
from tvm_book.testing import integer_reference
from tvm_book.testing.golden import GoldenCase

GOLDEN = Path(__file__).parents[1] / "golden"
SHAPE = (1, 3, 4, 4)
RELU = relax.op.nn.relu
# from float to int8 and back, as in `onto`
TO_INT8 = ["multiply(x, 16)", "round_half_away(%0)", "clip(%1, -127, 127)"]


def onto(x, scale, bits=8, kind="input"):
    """Round ``x`` to a grid."""
    end = 2 ** (bits - 1) - 1
    numbers = [relax.const(np.float32(number)) for number in (scale, -end, end)]
    return ops.simulated_quantize(x, *numbers, kind=kind)


def weight(values, scale=2.0**-7):
    return onto(relax.const(np.asarray(values, "float32")), scale, kind="weight")


def accumulator(x):
    """Products of x, in steps of 1/16, and 2 steps of 2**-7: wide integers in steps of 2**-11."""
    return relax.op.multiply(onto(x, 1 / 16), weight(np.float32(2.0**-6)))


def realized(build, inputs=None, **options):
    config = qconfig(**options)
    mod = module(lambda emit, *args: emit(build(*args)), **(inputs or {"x": SHAPE}))
    return Realize.as_pass(scheme_for(config), config)(mod)


def results(mod, *inputs):
    """What compiled code computes, which has to be what NumPy does."""
    out = run(mod, *inputs)
    np.testing.assert_array_equal(out, integer_reference(mod, *inputs))
    return out


def steps_of(x, scale=1 / 16, end=127):
    return np.clip(round_half_away(x / np.float32(scale)), -end, end).astype("int64")


X = array(*SHAPE, scale=3)


# the whole chain


def test_the_source_chapters_layer():
    """One convolution without bias: the arithmetic that the book takes apart."""
    w = array(16, 16, 3, 3, scale=0.02)
    w[0, 0, 0, 0] = 0.1  # the largest; 0.125 above it gives steps of 2**-10
    mod = module(
        lambda emit, data: emit(relax.op.nn.conv2d(data, relax.const(w), padding=1)),
        data=(1, 16, 4, 4),
    )
    with qconfig(skip_conv_layers=[]):
        qmod = quantize(mod)
    assert listing(qmod) == [
        "multiply(data, 16)",
        "round_half_away(%0)",
        "clip(%1, -127, 127)",
        "astype(%2, int8)",
        "conv2d(%3, const)",
        "add(%4, 512)",
        "right_shift(%5, 10)",  # from steps of 2**-14 to steps of 2**-4
        "clip(%6, -127, 127)",
        "astype(%7, int8)",
        "astype(%8, float32)",
        "multiply(%9, 0.0625)",
        "%10",
    ]
    results(qmod, array(1, 16, 4, 4))


RELAY_NAMES = {
    "cast": "astype",
    "round": "round_half_away",
    "nn.dense": "matmul",
    "concatenate": "concat",
    "nn.bias_add": "add",
}


def without_repeated_casts(names):
    pairs = zip([None, *names], names, strict=False)
    return [name for before, name in pairs if not name == before == "astype"]


@pytest.mark.parametrize(
    "name, key",
    [
        ("seed_normal", "o2__skip_none"),
        ("seed_normal", "o3__skip_none"),
        ("chain3_a", "o2__skip_none"),
        ("chain3_a", "o3__skip_1"),
        ("mlp", "o3__skip_none__skipdense_0"),
        ("avgpool", "o3__skip_none"),
        ("mul_const_chan", "o3__skip_none__rfs_0"),
        ("mul_const_chan", "o3__skip_none__ni_5__nw_6"),
    ],
)
def test_operators_are_those_that_relay_printed(name, key):
    case = GoldenCase(GOLDEN / name)
    record = case.configs[key]
    printed = re.findall(r"^\s+(?:%\d+ = )?([a-z][\w.]*)\(", record["relay_ir"], re.M)
    printed = [RELAY_NAMES.get(op, op) for op in printed if op != "annotation.stop_fusion"]
    with tvm.transform.PassContext(opt_level=record["opt_level"]):
        qmod = quantize(*import_case(case), config=qconfig(**record["qconfig"]))
    # Relay casts to the type that a value has, and casts what was cast
    assert without_repeated_casts(op_names(qmod)) == without_repeated_casts(printed)


# from float and back


def test_float_goes_onto_the_grid_and_returns():
    mod = realized(lambda x: onto(x, 1 / 16))
    assert listing(mod) == [*TO_INT8, "multiply(%2, 0.0625)", "%3"]
    np.testing.assert_array_equal(results(mod, X), steps_of(X) / np.float32(16))


def test_values_halfway_between_steps_leave_zero():
    x = np.float32([0.5, -0.5, 1.5, -2.5, 0.49999997]) / 16
    mod = realized(lambda x: onto(x, 1 / 16), inputs={"x": (5,)})
    np.testing.assert_array_equal(results(mod, x) * 16, [1, -1, 2, -3, 0])


def test_the_reciprocal_of_the_scale_is_multiplied():
    scale = np.float32(0.1)
    mod = realized(lambda x: onto(x, scale))
    inverse = np.float32(1) / scale
    expected = np.clip(round_half_away(X * inverse), -127, 127) * scale
    np.testing.assert_array_equal(results(mod, X), expected)


def test_constants_are_folded():
    mod = realized(lambda x: relax.op.add(x, weight(array(3, 1, 1))))
    assert listing(mod) == ["add(x, const)", "%0"]


# onto another grid


def test_same_scale_only_clips():
    mod = realized(lambda x: onto(onto(x, 1 / 16), 1 / 16, bits=5))
    assert listing(mod) == [*TO_INT8, "clip(%2, -15, 15)", "multiply(%3, 0.0625)", "%4"]
    np.testing.assert_array_equal(results(mod, X), steps_of(X, end=15) / np.float32(16))


@pytest.mark.parametrize("rounds", [True, False])
def test_coarser_by_a_power_of_two_shifts_right_and_rounds_ties_up(rounds):
    mod = realized(lambda x: onto(onto(x, 1 / 16), 1 / 2), round_for_shift=rounds)
    half = ["add(%3, 4)"] if rounds else []
    last = len(TO_INT8) + len(half)
    assert listing(mod) == [
        *TO_INT8,
        "astype(%2, int32)",
        *half,
        f"right_shift(%{last}, 3)",
        f"clip(%{last + 1}, -127, 127)",
        f"astype(%{last + 2}, float32)",
        f"multiply(%{last + 3}, 0.5)",
        f"%{last + 4}",
    ]
    x = np.arange(-48, 48, dtype="float32").reshape(2, 3, 4, 4)[:1] / 16
    steps = np.round(x * 16).astype("int64")
    expected = (steps + 4) // 8 if rounds else steps // 8
    np.testing.assert_array_equal(results(mod, x), expected / np.float32(2))


def test_finer_by_a_power_of_two_shifts_left_and_clips():
    mod = realized(lambda x: onto(onto(x, 1 / 16), 1 / 64))
    assert "left_shift(%3, 2)" in listing(mod)
    np.testing.assert_array_equal(results(mod, X), np.clip(steps_of(X) * 4, -127, 127) / 64)


@pytest.mark.parametrize("rounding", ["UPWARD", "TONEAREST"])
def test_other_ratios_multiply_in_fixed_point(rounding):
    mod = realized(lambda x: onto(onto(x, 1 / 16), 0.15), rounding=rounding, round_for_shift=False)
    factor = np.float32(1 / 16) / np.float32(0.15)
    expected = fixed_point_multiply(steps_of(X), float(factor), rounding)
    expected = expected.astype("float32") * np.float32(0.15)
    np.testing.assert_array_equal(results(mod, X), expected)


def test_fixed_point_ties_go_where_rounding_says():
    x = np.float32([-3, -1, 1, 3]).reshape(1, 1, 2, 2)
    for rounding, expected in (("UPWARD", [-4, -1, 2, 5]), ("TONEAREST", [-5, -2, 2, 5])):
        # steps of 1 to steps of 2/3: a factor of 1.5
        mod = realized(lambda x: onto(onto(x, 3.0), 2.0), inputs={"x": x.shape}, rounding=rounding)
        np.testing.assert_array_equal(results(mod, x * 3).reshape(-1), np.float32(expected) * 2)


def test_a_scale_far_below_the_next_leaves_zeros():
    """Layers that died in training have such scales: shifts of more bits than a type has."""
    for factor in (2.0**-40, 3.0**-30):
        mod = realized(lambda x, f=factor: onto(onto(x, f / 16), 1 / 16))
        np.testing.assert_array_equal(results(mod, X), np.zeros(SHAPE))


# layers


def conv2d(x, scale=2.0**-7, **options):
    return relax.op.nn.conv2d(x, weight(array(2, 3, 3, 3, scale=0.2), scale), **options)


def test_conv2d_runs_in_dtype_input_and_sums_in_dtype_activation():
    mod = realized(lambda x: conv2d(onto(x, 1 / 16)))
    assert listing(mod) == [
        *TO_INT8,
        "astype(%2, int8)",
        "conv2d(%3, const)",
        "astype(%4, float32)",
        f"multiply(%5, {2.0**-11:g})",
        "%6",
    ]
    call = mod["main"].body.blocks[0].bindings[4].value
    assert [str(arg.ty.dtype) for arg in call.args] == ["int8", "int8"]
    assert (str(call.attrs.out_dtype), str(call.ty.dtype)) == ("int32", "int32")
    results(mod, X)


def test_conv2d_keeps_its_attributes():
    options = {"strides": (2, 1), "padding": (1, 2, 0, 1), "dilation": (1, 2)}
    mod = realized(lambda x: conv2d(onto(x, 1 / 16), **options), inputs={"x": (2, 3, 6, 7)})
    results(mod, array(2, 3, 6, 7, scale=3))


def test_grouped_conv2d():
    def build(x):
        return relax.op.nn.conv2d(onto(x, 1 / 16), weight(array(6, 1, 2, 2)), groups=3)

    results(realized(build), X)


def test_conv1d_and_matmul():
    line, matrix = array(1, 3, 7, scale=3), array(2, 5, 4, scale=3)
    mod = realized(
        lambda x: relax.op.nn.conv1d(onto(x, 1 / 16), weight(array(2, 3, 3)), strides=2),
        inputs={"x": line.shape},
    )
    results(mod, line)
    mod = realized(
        lambda x: relax.op.matmul(onto(x, 1 / 16), weight(array(4, 3))), inputs={"x": matrix.shape}
    )
    results(mod, matrix)


@pytest.mark.parametrize(
    "options", [{"dtype_input": "int16"}, {"dtype_weight": "int16"}, {"dtype_activation": "int16"}]
)
def test_layers_of_other_widths(options):
    mod = realized(lambda x: onto(conv2d(onto(x, 1 / 16)), 1 / 16), **options)
    results(mod, X)


def test_a_product_of_wide_activations_keeps_their_width():
    """The type of weights, int8 here, does not hold activations of 16 bits."""
    left, right = array(2, 3, 5, scale=9), array(2, 5, 4, scale=9)

    def build(x, y):
        return relax.op.matmul(onto(x, 2.0**-8, 16), onto(y, 2.0**-8, 16))

    mod = realized(
        build, inputs={"x": left.shape, "y": right.shape}, dtype_input="int16", nbit_input=16
    )
    found = results(mod, left, right)
    expected = [steps_of(x, 2.0**-8, 2**15 - 1) for x in (left, right)]
    np.testing.assert_array_equal(found, (expected[0] @ expected[1] * 2.0**-16).astype("float32"))


@pytest.mark.parametrize("rounded", ["data", "weight"])
def test_a_layer_with_one_quantized_operand_computes_in_float(rounded):
    def build(x):
        w = constant(2, 3, 1, 1, scale=0.2)
        if rounded == "data":
            return relax.op.nn.conv2d(onto(x, 1 / 16), w)
        return relax.op.nn.conv2d(x, onto(w, 2.0**-7, kind="weight"))

    mod = realized(build)
    assert "int8" not in mod.script()
    # Kernels fuse the sums of three products below 2 in magnitude: each rounds otherwise.
    np.testing.assert_allclose(run(mod, X), integer_reference(mod, X), rtol=0, atol=3 * 2.0**-24)


# add and multiply


def sum_of(left, right):
    """``left`` and ``right`` map x to a quantized value."""
    return lambda x: relax.op.add(left(x), right(x))


def test_add_shifts_the_coarser_operand_to_the_finer_scale():
    mod = realized(sum_of(lambda x: onto(x, 1 / 16), lambda x: onto(RELU(x), 1 / 64)))
    lines = listing(mod)
    assert sum(line.startswith("left_shift") and line.endswith(", 2)") for line in lines) == 1
    total = steps_of(X) * 4 + steps_of(np.maximum(X, 0), 1 / 64)
    np.testing.assert_array_equal(results(mod, X), total / np.float32(64))


def test_add_multiplies_by_a_whole_ratio():
    mod = realized(sum_of(lambda x: onto(x, 0.75), lambda x: onto(RELU(x), 0.25)))
    assert any(line.startswith("multiply(%") and line.endswith(", 3)") for line in listing(mod))
    total = steps_of(X, 0.75) * 3 + steps_of(np.maximum(X, 0), 0.25)
    np.testing.assert_array_equal(results(mod, X), total / np.float32(4))


def test_add_uses_fixed_point_for_other_ratios():
    fine, coarse = np.float32(0.1), np.float32(0.25)
    mod = realized(sum_of(lambda x: onto(x, 0.25), lambda x: onto(RELU(x), 0.1)))
    inverse = np.float32(1) / fine
    second = np.clip(round_half_away(np.maximum(X, 0) * inverse), -127, 127)
    total = fixed_point_multiply(steps_of(X, 0.25), float(coarse / fine)) + second.astype("int64")
    np.testing.assert_array_equal(results(mod, X), total.astype("float32") * fine)


def test_a_constant_of_finer_scale_scales_the_accumulator_up():
    b = weight(np.full((3, 1, 1), 0.004), 2.0**-14)
    mod = realized(lambda x: relax.op.add(accumulator(x), b))
    assert "left_shift(%4, 3)" in listing(mod)
    results(mod, X)


def test_a_constant_of_coarser_scale_is_shifted_when_folding():
    b = weight(np.full((3, 1, 1), 0.5), 2.0**-4)
    mod = realized(lambda x: relax.op.add(accumulator(x), b))
    assert not any("shift" in line for line in listing(mod))
    results(mod, X)


@pytest.mark.parametrize("tiny", [2.0**-60, 3.0**-40])
def test_a_constant_far_below_the_accumulator_is_dropped_rather_than_wrapping_it(tiny):
    b = weight(np.full((3, 1, 1), 100 * tiny), tiny)
    mod = realized(lambda x: relax.op.add(accumulator(x), b))
    np.testing.assert_array_equal(results(mod, X), results(realized(accumulator), X))


@pytest.mark.parametrize("tiny", [2.0**-60, 3.0**-40])
def test_a_value_far_below_the_accumulator_is_dropped(tiny):
    mod = realized(sum_of(accumulator, lambda x: onto(RELU(x), tiny)))
    np.testing.assert_array_equal(results(mod, X), results(realized(accumulator), X))


def test_add_of_a_quantized_and_a_float_operand_computes_in_float():
    mod = realized(lambda x: relax.op.add(onto(x, 1 / 16), x))
    assert listing(mod) == [*TO_INT8, "multiply(%2, 0.0625)", "add(%3, x)", "%4"]


def test_sums_wrap_in_dtype_activation():
    big = weight(np.full((3, 1, 1), 127), 1.0)

    def build(x):
        product = relax.op.multiply(onto(x, 1.0), big)
        return relax.op.add(product, relax.op.multiply(onto(x, 1.0), big))

    mod = realized(build, dtype_activation="int16")
    x = np.full(SHAPE, 127, "float32")
    wrapped = (127 * 127 * 2 + 2**15) % 2**16 - 2**15
    assert (results(mod, x) == wrapped).all()


def test_multiply_takes_the_product_of_the_scales():
    mod = realized(lambda x: relax.op.multiply(onto(x, 1 / 16), weight(array(3, 1, 1), 1 / 64)))
    assert listing(mod) == [
        *TO_INT8,
        "astype(%2, int32)",
        "multiply(%3, const)",
        "astype(%4, float32)",
        f"multiply(%5, {2.0**-10:g})",
        "%6",
    ]
    factor = steps_of(array(3, 1, 1), 1 / 64)
    np.testing.assert_array_equal(results(mod, X), steps_of(X) * factor / np.float32(1024))


# activations, pooling, shape


def test_relu_runs_on_integers():
    mod = realized(lambda x: RELU(accumulator(x)))
    assert listing(mod)[5] == "relu(%4)"
    assert listing(mod)[6] == "astype(%5, float32)"
    product = steps_of(X) * 2  # accumulator() multiplies by 2 steps of 2**-7
    np.testing.assert_array_equal(results(mod, X), np.maximum(product, 0) / 2**11)


def test_clip_bounds_are_whole_steps_towards_zero():
    mod = realized(lambda x: relax.op.clip(accumulator(x), -0.3, 1.01))
    # steps of 2**-11
    assert f"clip(%4, {int(-0.3 * 2**11)}, {int(1.01 * 2**11)})" in listing(mod)
    results(mod, X)


def test_clip_bounds_on_float_steps_stay_fractions():
    mod = realized(lambda x: relax.op.clip(onto(x, 1 / 16), -0.3, 0.3))
    assert listing(mod)[3] == "clip(%2, -4.8, 4.8)"
    results(mod, X)


def test_clip_bounds_beyond_the_type_limit_nothing():
    def build(x):
        return relax.op.clip(relax.op.nn.max_pool2d(onto(x, 1 / 32), (2, 2)), -6, 6)

    mod = realized(build)
    assert "clip(%4, -128, 127)" in listing(mod)  # 6 is 192 steps; int8 holds 127
    results(mod, X)


def test_max_pool2d_runs_in_dtype_input():
    mod = realized(lambda x: relax.op.nn.max_pool2d(onto(x, 1 / 16), (2, 2), padding=(1, 1, 1, 1)))
    assert listing(mod)[3:5] == ["astype(%2, int8)", "max_pool2d(%3)"]
    results(mod, X)


@pytest.mark.parametrize("include", [True, False])
def test_avg_pool2d_sums_integers_and_truncates(include):
    def build(x):
        pooled = relax.op.nn.avg_pool2d(
            onto(x, 1 / 16), (3, 3), (2, 2), (1, 1, 1, 1), count_include_pad=include
        )
        return pooled

    mod = realized(build)
    assert listing(mod)[3:5] == ["astype(%2, int32)", "avg_pool2d(%3)"]
    out = results(mod, X)
    corner = steps_of(X)[0, 0, :2, :2].sum()
    assert out[0, 0, 0, 0] * 16 == np.trunc(corner / (9 if include else 4))
    assert (np.signbit(out) & (out != 0)).any()  # some averages are negative: floor would differ


def test_global_avg_pool2d_truncates():
    mod = realized(lambda x: ops.global_avg_pool2d(onto(x, 1 / 16)))
    total = steps_of(X).sum((2, 3), keepdims=True)
    np.testing.assert_array_equal(results(mod, X) * 16, np.trunc(total / 16))


MOVES = {
    "reshape": lambda x: relax.op.reshape(x, (1, 48)),
    "permute_dims": lambda x: relax.op.permute_dims(x, [0, 2, 3, 1]),
    "strided_slice": lambda x: relax.op.strided_slice(x, [2], [1], [3]),
    "batch_flatten": relax.op.nn.batch_flatten,
}


@pytest.mark.parametrize("name", MOVES)
def test_elements_are_moved_as_integers(name):
    mod = realized(lambda x: MOVES[name](relax.op.nn.max_pool2d(onto(x, 1 / 16), (1, 1))))
    lines = listing(mod)
    assert lines[5].startswith(f"{name}(%4") and lines[6] == "astype(%5, float32)"
    plain = realized(lambda x: MOVES[name](onto(x, 1 / 16)))
    np.testing.assert_array_equal(run(mod, X), run(plain, X))


def test_operators_without_a_rule_return_to_float():
    mod = realized(lambda x: relax.op.sigmoid(accumulator(x)))
    assert listing(mod)[-4:] == [
        "astype(%4, float32)",
        f"multiply(%5, {2.0**-11:g})",
        "sigmoid(%6)",
        "%7",
    ]


def test_cast_hint_casts_and_stop_fusion_vanishes():
    mod = realized(lambda x: ops.stop_fusion(ops.cast_hint(onto(x, 1 / 16), "int8")))
    assert listing(mod)[3:5] == ["astype(%2, int8)", "astype(%3, float32)"]


# concat


def narrow(x, scale=1 / 16):
    return ops.cast_hint(onto(x, scale), "int8")


def concat_of(*fields):
    return lambda x: relax.op.concat([field(x) for field in fields], 1)


def concat_dtype(mod):
    (call,) = [
        binding.value
        for binding in mod["main"].body.blocks[0].bindings
        if "concat" in str(binding.value)[:12]
    ]
    return str(call.ty.dtype)


def test_two_narrow_fields_of_one_scale_are_concatenated_narrow():
    mod = realized(concat_of(narrow, lambda x: narrow(RELU(x))))
    assert concat_dtype(mod) == "int8"
    expected = np.concatenate([steps_of(X), steps_of(np.maximum(X, 0))], 1)
    np.testing.assert_array_equal(results(mod, X) * 16, expected)


@pytest.mark.parametrize("scale", [1 / 64, 0.1])
@pytest.mark.parametrize("finer", [0, 1])
def test_two_narrow_fields_of_different_scales_get_the_wide_type(scale, finer):
    fields = [narrow, lambda x: narrow(RELU(x), scale)]
    mod = realized(concat_of(*(fields if finer else fields[::-1])))
    assert concat_dtype(mod) == "int32"
    out = results(mod, X)
    first, second = (out[:, :3], out[:, 3:]) if finer else (out[:, 3:], out[:, :3])
    common = min(scale, 1 / 16)
    # each field on its own grid; the coarser one is moved to a finer one
    assert np.abs(first - steps_of(X) / 16).max() <= common / 2
    inverse = np.float32(1) / np.float32(scale)
    steps = np.clip(round_half_away(np.maximum(X, 0) * inverse), -127, 127)
    assert np.abs(second - steps * np.float32(scale)).max() <= common / 2


WIDE = 8 / 2**31


def wide(x, scale=WIDE):
    return onto(x, scale, bits=32, kind="activation")


@pytest.mark.parametrize("order", ["wide first", "narrow first"])
def test_a_float_field_beside_a_narrow_one_keeps_its_precision(order):
    fields = [wide, lambda x: narrow(RELU(x))]
    mod = realized(concat_of(*(fields if order == "wide first" else fields[::-1])))
    assert concat_dtype(mod) == "int32"
    x = np.clip(X, -7.5, 7.5)
    out = results(mod, x)
    first, second = (out[:, :3], out[:, 3:]) if order == "wide first" else (out[:, 3:], out[:, :3])
    np.testing.assert_allclose(first, x, atol=2.0**-20)  # half a step of 2**-20, or less
    np.testing.assert_array_equal(second * 16, steps_of(np.maximum(x, 0)))


def test_a_float_field_beyond_the_grid_saturates():
    mod = realized(lambda x: onto(concat_of(wide, narrow)(x), 1 / 16))
    x = np.full(SHAPE, 9, "float32")
    assert (results(mod, x) == 127 / 16).all()
    assert (results(mod, -x) == -127 / 16).all()


def test_a_narrow_field_that_would_leave_the_finest_grid_gets_a_coarser_one():
    mod = realized(
        concat_of(
            narrow, lambda x: wide(relax.op.multiply(x, relax.const(np.float32(0.01))), WIDE / 100)
        )
    )
    out = results(mod, np.clip(X, -7.5, 7.5))
    np.testing.assert_array_equal(out[:, :3] * 16, steps_of(np.clip(X, -7.5, 7.5)))


def test_three_fields_take_the_grid_of_global_scale():
    mod = realized(concat_of(narrow, lambda x: narrow(RELU(x)), lambda x: RELU(narrow(x))))
    assert concat_dtype(mod) == "int32"
    assert sum("left_shift" in line and line.endswith(" 24)") for line in listing(mod)) == 3
    assert listing(mod)[-2].endswith(f", {2.0**-28:g})")
    results(mod, X)
    mod = realized(concat_of(narrow, narrow, narrow), global_scale=4.0, nbit_activation=24)
    assert listing(mod)[-2].endswith(f", {2.0**-21:g})")


@pytest.mark.parametrize("tiny", [2.0**-36, 2.0**-36 / 3])
def test_a_field_far_below_the_other_leaves_the_coarse_one_as_it_is(tiny):
    """The finer grid would take 33 bits for one step of the coarse field."""
    mod = realized(concat_of(narrow, lambda x: onto(x, tiny)))
    assert concat_dtype(mod) == "int32"
    x = np.clip(X, -7.5, 7.5)
    out = results(mod, x)
    np.testing.assert_array_equal(out[:, :3] * 16, steps_of(x))
    np.testing.assert_array_equal(out[:, 3:], 0)  # 127 of its steps are less than 2**-21


def test_concat_with_a_field_that_stayed_float_computes_in_float():
    mod = realized(concat_of(narrow, RELU))
    assert concat_dtype(mod) == "float32"


# debug_enabled_ops


def test_requantizing_what_was_cast_without_rounding_is_refused():
    def build(x):
        return onto(ops.stop_fusion(ops.cast_hint(RELU(accumulator(x)), "int8")), 1 / 16)

    with pytest.raises(ValueError, match="without being rounded; enable 'annotation.cast_hint'"):
        realized(build, debug_enabled_ops=["nn.conv2d"])
    enabled = ["nn.conv2d", "annotation.cast_hint"]
    for options in ({}, {"debug_enabled_ops": enabled}):
        assert "right_shift" in " ".join(listing(realized(build, **options)))


# simulation


def test_simulation_keeps_rounding_in_float_and_drops_markers():
    def build(x):
        y = ops.stop_fusion(ops.cast_hint(onto(conv2d(onto(x, 1 / 16), padding=1), 1 / 16), "int8"))
        return ops.barrier(ops.bias_add(y, constant(2), axis=1))

    mod = Simulate.as_pass()(module(lambda emit, x: emit(build(x)), x=SHAPE))
    assert listing(mod) == [
        "round(x, input, 0.0625, -127, 127)",
        "round(const, weight, 0.0078125, -127, 127)",
        "conv2d(%0, %1)",
        "round(%2, input, 0.0625, -127, 127)",
        "add(%3, const)",
        "%4",
    ]
