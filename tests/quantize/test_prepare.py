"""The prepare passes, each by what it makes of a small module."""

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R

from tests.quantize.graphs import array, assert_rewrites, constant, conv, listing, module, run
from tvm_book.quantize import QConfig, ops
from tvm_book.quantize.prepare import (
    CanonicalizeBias,
    GroupedConv1dToConv2d,
    RecogniseBias,
    SimplifyInference,
    prerequisite_passes,
)

B4 = constant(4, seed=1)
W2D, W1D = constant(4, 2, 3, 3), constant(4, 2, 3)
WFC = constant(5, 4)


def passes(opt_level):
    with tvm.transform.PassContext(opt_level=opt_level):
        return prerequisite_passes(QConfig())


def test_passes_of_each_opt_level():
    low = ["RecogniseBias", "SimplifyInference", "GroupedConv1dToConv2d", "FoldConstant"]
    high = ["BackwardFoldScaleAxis", "ForwardFoldScaleAxis", "CanonicalizeBias"]
    assert [p.info.name for p in passes(2)] == low
    assert [p.info.name for p in passes(3)] == low + high


# RecogniseBias


@I.ir_module
class Biases:
    @R.function
    def main(
        x: R.Tensor((1, 2, 5, 5), "float32"),
        s: R.Tensor((1, 2, 5), "float32"),
        f: R.Tensor((3, 5), "float32"),
        t: R.Tensor((2, 3, 5), "float32"),
    ):
        with R.dataflow():
            c2 = R.nn.conv2d(x, W2D)
            c2b = R.add(c2, R.reshape(B4, (1, 4, 1, 1)))
            c1 = R.nn.conv1d(s, W1D)
            c1b = R.add(c1, R.reshape(B4, (1, 4, 1)))
            m2 = R.matmul(f, WFC)
            m2b = R.add(m2, R.reshape(B4, (1, 4)))
            m3 = R.matmul(t, WFC)
            m3b = R.add(m3, R.reshape(B4, (1, 1, 4)))
            out = (c2b, c1b, m2b, m3b)
            R.output(out)
        return out


@I.ir_module
class BiasesExpected:
    @R.function
    def main(
        x: R.Tensor((1, 2, 5, 5), "float32"),
        s: R.Tensor((1, 2, 5), "float32"),
        f: R.Tensor((3, 5), "float32"),
        t: R.Tensor((2, 3, 5), "float32"),
    ):
        with R.dataflow():
            c2 = R.nn.conv2d(x, W2D)
            c2b = ops.bias_add(c2, B4, axis=1)
            c1 = R.nn.conv1d(s, W1D)
            c1b = ops.bias_add(c1, B4, axis=1)
            m2 = R.matmul(f, WFC)
            m2b = ops.bias_add(m2, B4, axis=-1)
            m3 = R.matmul(t, WFC)
            m3b = ops.bias_add(m3, B4, axis=-1)
            out = (c2b, c1b, m2b, m3b)
            R.output(out)
        return out


def test_reshaped_bias_of_every_layer_is_recognised():
    assert_rewrites(RecogniseBias.as_pass(), Biases, BiasesExpected)


W1X1 = constant(1, 2, 1, 1)
B1 = constant(1, seed=1)


@pytest.mark.parametrize(
    "case",
    [
        "no reshape",
        "reshape on the left",
        "after relu",
        "run-time bias",
        "along another axis",
        "of lower rank",
        "that widens the channels",
        "of two axes",
    ],
)
def test_other_additions_stay(case):
    def build(emit, x, b):
        layer = emit(conv(x, 4))
        reshaped = emit(relax.op.reshape(B4, (1, 4, 1, 1)))
        if case == "no reshape":
            return emit(relax.op.add(layer, constant(1, 4, 1, 1)))
        if case == "reshape on the left":
            return emit(relax.op.add(reshaped, layer))
        if case == "after relu":
            return emit(relax.op.add(emit(relax.op.nn.relu(layer)), reshaped))
        if case == "run-time bias":
            return emit(relax.op.add(layer, emit(relax.op.reshape(b, (1, 4, 1, 1)))))
        if case == "along another axis":
            return emit(relax.op.add(layer, emit(relax.op.reshape(B4, (1, 1, 4, 1)))))
        if case == "of lower rank":  # (1, 4, 1) lies along the height of an image
            return emit(relax.op.add(layer, emit(relax.op.reshape(B4, (1, 4, 1)))))
        if case == "that widens the channels":
            return emit(relax.op.add(emit(relax.op.nn.conv2d(x, W1X1)), reshaped))
        return emit(relax.op.add(layer, emit(relax.op.reshape(constant(2, 2), (1, 4, 1, 1)))))

    mod = module(build, x=(1, 2, 4, 4), b=(4,))
    assert_rewrites(RecogniseBias.as_pass(), mod, mod)


def test_bias_of_a_single_channel_is_recognised():
    def build(emit, x):
        layer = emit(relax.op.nn.conv2d(x, W1X1))
        return emit(relax.op.add(layer, emit(relax.op.reshape(B1, (1, 1, 1, 1)))))

    def expected(emit, x):
        return emit(ops.bias_add(emit(relax.op.nn.conv2d(x, W1X1)), B1, axis=1))

    shape = (1, 2, 4, 4)
    assert_rewrites(RecogniseBias.as_pass(), module(build, x=shape), module(expected, x=shape))


# SimplifyInference

GAMMA, BETA, MEAN, VARIANCE = (array(3, seed=i) for i in range(4))
VARIANCE = np.abs(VARIANCE)


def batch_norm(emit, x, axis=1, index=0, **options):
    statistics = map(relax.const, (GAMMA, BETA, MEAN, VARIANCE))
    call = relax.op.nn.batch_norm(x, *statistics, axis=axis, epsilon=1e-5, **options)
    pair = emit(call)
    return pair if index is None else emit(relax.TupleGetItem(pair, index))


def simplified(scale, shift):
    def build(emit, x):
        return emit(
            relax.op.add(emit(relax.op.multiply(x, relax.const(scale))), relax.const(shift))
        )

    return build


@pytest.mark.parametrize(
    "shape, axis, aligned",
    [((2, 3, 4, 4), 1, (3, 1, 1)), ((2, 3), 1, (3,)), ((2, 4, 3), -1, (3,)), ((3, 2), 0, (3, 1))],
)
def test_batch_norm_has_the_float32_constants_of_relay(shape, axis, aligned):
    one, epsilon = np.float32(1), np.float32(1e-5)
    scale = (one / np.sqrt(VARIANCE + epsilon)) * GAMMA
    shift = (-MEAN) * scale + BETA
    assert scale.dtype == shift.dtype == np.float32
    before = module(lambda emit, x: batch_norm(emit, x, axis), x=shape)
    expected = module(simplified(scale.reshape(aligned), shift.reshape(aligned)), x=shape)
    assert_rewrites(SimplifyInference.as_pass(), before, expected)


@pytest.mark.parametrize("flags", [{"scale": False}, {"center": False}])
def test_batch_norm_without_gamma_or_beta(flags):
    factor = np.float32(1) / np.sqrt(VARIANCE + np.float32(1e-5))
    scale = factor if "scale" in flags else factor * GAMMA
    shift = -MEAN * scale if "center" in flags else -MEAN * scale + BETA
    before = module(lambda emit, x: batch_norm(emit, x, **flags), x=(2, 3))
    expected = module(simplified(scale, shift), x=(2, 3))
    assert_rewrites(SimplifyInference.as_pass(), before, expected)


@pytest.mark.parametrize("flags", [{}, {"scale": False}, {"center": False}])
def test_simplified_batch_norm_computes_what_batch_norm_did(flags):
    build = lambda emit, x: batch_norm(emit, x, training=False, **flags)  # noqa: E731
    mod, x = module(build, x=(2, 3, 4, 4)), array(2, 3, 4, 4)
    after = run(SimplifyInference.as_pass()(mod), x)
    # another order of four float32 operations, on values of about 10
    np.testing.assert_allclose(after, run(mod, x), rtol=1e-5, atol=1e-5)


def test_dropout_disappears():
    def build(emit, x):
        pair = emit(relax.op.nn.dropout(x, 0.5))
        return emit(relax.op.nn.relu(emit(relax.TupleGetItem(pair, 0))))

    expected = module(lambda emit, x: emit(relax.op.nn.relu(x)), x=(2, 3))
    assert_rewrites(SimplifyInference.as_pass(), module(build, x=(2, 3)), expected)


@pytest.mark.parametrize("index", [1, 2, None])
def test_reading_statistics_of_a_batch_norm_is_refused(index):
    mod = module(lambda emit, x: batch_norm(emit, x, index=index), x=(2, 3))
    with pytest.raises(ValueError, match=r"statistics of relax.nn.batch_norm; put .* eval\(\)"):
        SimplifyInference.as_pass()(mod)


def test_reading_the_mask_of_a_dropout_is_refused():
    def build(emit, x):
        return emit(relax.TupleGetItem(emit(relax.op.nn.dropout(x, 0.5)), 1))

    with pytest.raises(ValueError, match="statistics of relax.nn.dropout"):
        SimplifyInference.as_pass()(module(build, x=(2, 3)))


def test_batch_norm_with_parameters_that_were_not_given_is_refused():
    def build(emit, x, gamma):
        others = map(relax.const, (BETA, MEAN, VARIANCE))
        pair = emit(relax.op.nn.batch_norm(x, gamma, *others, axis=1))
        return emit(relax.TupleGetItem(pair, 0))

    with pytest.raises(ValueError, match="run-time parameters; pass params="):
        SimplifyInference.as_pass()(module(build, x=(2, 3), gamma=(3,)))


def test_fields_of_other_tuples_stay():
    def build(emit, x):
        return emit(relax.TupleGetItem(emit(relax.op.split(x, 3, 1)), 2))

    mod = module(build, x=(2, 3))
    assert_rewrites(SimplifyInference.as_pass(), mod, mod)


# GroupedConv1dToConv2d

W1G = constant(4, 1, 3)


@I.ir_module
class Grouped1d:
    @R.function
    def main(x: R.Tensor((1, 2, 9), "float32")):
        with R.dataflow():
            y = R.nn.conv1d(x, W1G, strides=2, padding=(1, 2), dilation=2, groups=2)
            R.output(y)
        return y


@I.ir_module
class Grouped1dExpected:
    @R.function
    def main(x: R.Tensor((1, 2, 9), "float32")):
        with R.dataflow():
            image = R.expand_dims(x, 2)
            kernel = R.expand_dims(W1G, 2)
            wide = R.nn.conv2d(
                image, kernel, strides=(1, 2), padding=(0, 1, 0, 2), dilation=(1, 2), groups=2
            )
            y = R.squeeze(wide, 2)
            R.output(y)
        return y


def test_grouped_conv1d_becomes_conv2d():
    assert_rewrites(GroupedConv1dToConv2d.as_pass(), Grouped1d, Grouped1dExpected)
    x = array(1, 2, 9)
    after = run(GroupedConv1dToConv2d.as_pass()(Grouped1d), x)
    # sums of 3 products, which a kernel may add in any order, with or without rounding each
    np.testing.assert_allclose(after, run(Grouped1d, x), rtol=1e-6, atol=1e-7)


def test_ungrouped_conv1d_stays():
    mod = module(lambda emit, x: emit(relax.op.nn.conv1d(x, W1D)), x=(1, 2, 9))
    assert_rewrites(GroupedConv1dToConv2d.as_pass(), mod, mod)


# CanonicalizeBias


@pytest.mark.parametrize(
    "shape, axis, aligned",
    [
        ((2, 4, 3, 3), 1, (4, 1, 1)),
        ((2, 4, 3), 1, (4, 1)),
        ((2, 4), -1, (4,)),
        ((2, 3, 4), -1, (4,)),
    ],
)
def test_bias_add_becomes_an_addition_that_broadcasts(shape, axis, aligned):
    b = array(4)
    before = module(lambda emit, x: emit(ops.bias_add(x, relax.const(b), axis)), x=shape)
    expected = module(
        lambda emit, x: emit(relax.op.add(x, relax.const(b.reshape(aligned)))), x=shape
    )
    assert_rewrites(CanonicalizeBias.as_pass(), before, expected)


# all of them together


def conv_bias_batch_norm(emit, x):
    layer = emit(conv(x, 3, kernel=3))
    biased = emit(relax.op.add(layer, emit(relax.op.reshape(constant(3), (1, 3, 1, 1)))))
    return emit(relax.op.nn.relu(batch_norm(emit, biased, training=False)))


@pytest.mark.parametrize(
    "opt_level, expected",
    [
        (
            2,
            [
                "conv2d(x, const)",
                "bias_add(%0, const)",
                "multiply(%1, const)",
                "add(%2, const)",
                "relu(%3)",
                "%4",
            ],
        ),
        (3, ["conv2d(x, const)", "add(%0, const)", "add(%1, const)", "relu(%2)", "%3"]),
    ],
)
def test_what_opt_level_leaves_of_conv_bias_and_batch_norm(opt_level, expected):
    mod = module(conv_bias_batch_norm, x=(1, 2, 5, 5))
    after = tvm.transform.Sequential(passes(opt_level))(mod)
    assert listing(after) == expected
    x = array(1, 2, 5, 5)
    # scaled weights: other products in the sum of 18
    np.testing.assert_allclose(run(after, x), run(mod, x), rtol=1e-5, atol=1e-5)


def test_items_of_tuples_are_no_conv1d():
    def build(emit, x):
        halves = emit(relax.op.split(x, 2, 1))
        return emit(relax.op.add(emit(halves[0]), emit(halves[1])))

    mod = module(build, x=(1, 4, 3))
    assert_rewrites(GroupedConv1dToConv2d.as_pass(), mod, mod)
