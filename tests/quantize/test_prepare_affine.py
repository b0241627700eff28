"""The float form that the affine scheme starts from: constants become part of layers."""

import numpy as np
import pytest
import tvm
from tvm import relax

from tests.quantize.graphs import (
    array,
    assert_rewrites,
    constant,
    listing,
    module,
    op_names,
)
from tvm_book.quantize import QConfig
from tvm_book.quantize._evaluate import Evaluator
from tvm_book.quantize._graph import Graph, to_numpy
from tvm_book.quantize.fold_constants import FoldConstants
from tvm_book.quantize.prepare import SimplifyInference
from tvm_book.quantize.prepare_affine import FoldIntoLayers, SplitToSlices, affine_passes

FOLD = FoldIntoLayers.as_pass()
ADD, SUB, MUL, DIV = relax.op.add, relax.op.subtract, relax.op.multiply, relax.op.divide
conv3d = relax.op.nn.conv3d
conv2d, deconv2d, matmul = relax.op.nn.conv2d, relax.op.nn.conv2d_transpose, relax.op.matmul


def evaluate(mod, *inputs):
    graph = Graph(mod["main"])
    named = {param.name: x for param, x in zip(graph.params, inputs, strict=True)}
    return Evaluator(graph, [graph.output], mod)(named)[0]


def const(x):
    return relax.const(np.asarray(x, np.float32))


# layer: (operator, input, weight, shape of a constant of channels, the same beside the weight)
LAYERS = {
    "conv1d": (relax.op.nn.conv1d, (1, 2, 5), (4, 2, 3), (4, 1), (4, 1, 1), {}),
    "conv2d": (conv2d, (1, 2, 5, 5), (4, 2, 3, 3), (4, 1, 1), (4, 1, 1, 1), {}),
    "depthwise": (conv2d, (1, 4, 5, 5), (4, 1, 3, 3), (4, 1, 1), (4, 1, 1, 1), {"groups": 4}),
    "conv3d": (conv3d, (1, 2, 4, 4, 4), (4, 2, 1, 1, 1), (4, 1, 1, 1), (4, 1, 1, 1, 1), {}),
    "transposed": (deconv2d, (1, 2, 3, 3), (2, 4, 3, 3), (4, 1, 1), (1, 4, 1, 1), {}),
    "linear": (matmul, (3, 5), (5, 4), (4,), (4,), {}),
    "linear 3-d": (matmul, (2, 3, 5), (5, 4), (4,), (4,), {}),
}  # fmt: skip
F, B = array(4, seed=1), array(4, seed=2)


def check_fold(name, before, factor, bias):
    """Compare with the layer whose weight and bias NumPy computes in float64."""
    operator, x_shape, w_shape, shape, beside, options = LAYERS[name]
    w = array(*w_shape, seed=3)

    def layer(x, weight):
        return operator(x, const(weight), **options)

    old = module(lambda emit, x: emit(before(layer(x, w), shape)), x=x_shape)

    def expected(emit, x):
        scaled = emit(layer(x, w.astype(np.float64) * np.reshape(factor, beside)))
        return scaled if bias is None else emit(ADD(scaled, const(np.reshape(bias, shape))))

    assert_rewrites(FOLD, old, module(expected, x=x_shape))


ONES, THIRD = np.ones(4), np.full(4, np.float32(0.3), np.float64)
F64, B64 = F.astype(np.float64), B.astype(np.float64)
FOLDS = {
    "scale": (lambda y, s: MUL(y, const(F.reshape(s))), F64, None),
    "scale, constant first": (lambda y, s: MUL(const(F.reshape(s)), y), F64, None),
    "scale by a number": (lambda y, s: MUL(y, const(0.3)), THIRD, None),
    "shift": (lambda y, s: ADD(y, const(B.reshape(s))), ONES, B64),
    "shift by a number": (lambda y, s: ADD(const(0.3), y), ONES, THIRD),
    "minus": (lambda y, s: SUB(y, const(B.reshape(s))), ONES, -B64),
    "from": (lambda y, s: SUB(const(B.reshape(s)), y), -ONES, B64),
    "over": (lambda y, s: DIV(y, const(F.reshape(s))), 1 / F64, None),
    "scale and shift": (
        lambda y, s: ADD(MUL(y, const(F.reshape(s))), const(B.reshape(s))), F64, B64,
    ),
    "bias, then scale": (
        lambda y, s: MUL(ADD(y, const(B.reshape(s))), const(F.reshape(s))), F64, B64 * F64,
    ),
    "all four": (
        lambda y, s: DIV(SUB(const(1), MUL(ADD(y, const(B.reshape(s))), const(2))), const(4)),
        -ONES / 2, (1 - 2 * B64) / 4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("fold", FOLDS)
def test_constants_of_channels_become_part_of_the_layer(name, fold):
    check_fold(name, *FOLDS[fold])


def test_groups_of_a_transposed_convolution_have_channels_of_their_own():
    """Its weight, (in, out / groups, ...), holds channel c of group g in the rows of g."""
    x, w = array(1, 6, 3, 3), array(6, 2, 3, 3, seed=1)
    factor = array(6, 1, 1, seed=2)
    old = module(
        lambda emit, x: emit(MUL(deconv2d(x, const(w), groups=3), const(factor))), x=x.shape
    )
    by_group = np.repeat(factor.astype(np.float64).reshape(3, 1, 2), 2, axis=1).reshape(6, 2, 1, 1)
    new = module(lambda emit, x: emit(deconv2d(x, const(w * by_group), groups=3)), x=x.shape)
    assert_rewrites(FOLD, old, new)
    np.testing.assert_allclose(evaluate(FOLD(old), x), evaluate(old, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(
    "name, options", [("conv2d", {}), ("depthwise", {"groups": 4}), ("transposed", {})]
)
def test_batch_norm_vanishes(name, options, biased):
    operator, x_shape, w_shape, *_ = LAYERS[name]

    def build(emit, x):
        y = operator(x, const(array(*w_shape)), **options)
        y = ADD(y, const(array(1, 4, 1, 1, seed=1))) if biased else y
        statistics = [const(array(4, seed=i)) for i in (2, 3, 4)]
        variance = const(array(4, seed=5) ** 2 + 0.1)
        return emit(
            relax.TupleGetItem(
                emit(relax.op.nn.batch_norm(emit(y), *statistics, variance, axis=1)), 0
            )
        )

    old = module(build, x=x_shape)
    new = tvm.transform.Sequential([SimplifyInference.as_pass(), FOLD])(old)
    layer = name.replace("depthwise", "conv2d").replace("transposed", "conv2d_transpose")
    assert op_names(new) == [f"nn.{layer}", "add"]
    x = array(*x_shape, seed=9)
    # sums of 18 products below 10, rounded to 2**-24 of themselves at each step: 18 * 10 * 2**-24
    expected = evaluate(SimplifyInference.as_pass()(old), x)
    np.testing.assert_allclose(evaluate(new, x), expected, rtol=0, atol=1.1e-5)


def one_conv(build):
    """Make ``build(emit, conv(x))``."""
    w = constant(4, 2, 3, 3)
    return module(lambda emit, x: build(emit, emit(conv2d(x, w))), x=(1, 2, 6, 6))


UNCHANGED = {
    "read twice": lambda emit, y: emit(ADD(emit(MUL(y, const(2))), y)),
    "not per channel": lambda emit, y: emit(MUL(y, constant(1, 4, 4))),
    "per sample": lambda emit, y: emit(MUL(y, constant(1, 1, 1, 4))),
    "more axes": lambda emit, y: emit(MUL(y, constant(1, 1, 4, 1, 1))),
    "a number over it": lambda emit, y: emit(DIV(const(2), y)),
    "over zero": lambda emit, y: emit(DIV(y, const([[[1]], [[0]], [[1]], [[1]]]))),
    "behind relu": lambda emit, y: emit(MUL(emit(relax.op.nn.relu(y)), const(2))),
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_what_is_not_folded(name):
    mod = one_conv(UNCHANGED[name])
    assert_rewrites(FOLD, mod, mod)


def test_a_layer_that_the_function_returns_is_not_changed_for_its_other_reader():
    mod = module(
        lambda emit, x: _twice(emit, emit(conv2d(x, constant(4, 2, 1, 1)))), x=(1, 2, 3, 3)
    )
    assert_rewrites(FOLD, mod, mod)


def _twice(emit, y):
    return relax.Tuple([y, emit(MUL(y, const(2)))])


def test_a_weight_computed_at_run_time_is_left_alone():
    mod = module(
        lambda emit, x, w: emit(MUL(conv2d(x, w), const(2))), x=(1, 2, 3, 3), w=(4, 2, 1, 1)
    )
    assert_rewrites(FOLD, mod, mod)


def test_a_bias_stays_one_addition():
    mod = one_conv(lambda emit, y: emit(relax.op.nn.relu(emit(ADD(y, constant(4, 1, 1))))))
    assert listing(FOLD(mod)) == ["conv2d(x, const)", "add(%0, const)", "relu(%1)", "%2"]


# SplitToSlices


def test_split_becomes_slices():
    def before(emit, x):
        parts = emit(relax.op.split(x, [2, 5], axis=1))
        return relax.Tuple([emit(relax.TupleGetItem(parts, i)) for i in (2, 0, 1)])

    def expected(emit, x):
        ends = [(5, 7), (0, 2), (2, 5)]
        return relax.Tuple([emit(relax.op.strided_slice(x, [1], [a], [b])) for a, b in ends])

    shape = {"x": (2, 7, 3)}
    assert_rewrites(SplitToSlices.as_pass(), module(before, **shape), module(expected, **shape))


@pytest.mark.parametrize("axis, sections, size", [(-1, 3, 9), (-1, 4, 10), (0, 2, 5)])
def test_slices_are_the_parts_of_a_split_into_sections(axis, sections, size):
    """TVM cuts into parts of equal size but for a shorter last one."""
    shape = (3, size) if axis else (size, 3)

    def build(emit, x):
        parts = emit(relax.op.split(x, sections, axis=axis))
        return relax.Tuple([emit(relax.TupleGetItem(parts, i)) for i in range(sections)])

    mod = module(build, x=shape)
    x = array(*shape)
    width = -(-size // sections)
    expected = np.split(x, range(width, size, width), axis)
    sliced = SplitToSlices.as_pass()(mod)
    assert op_names(sliced) == ["strided_slice"] * sections
    for part, wanted in zip(evaluate(sliced, x), expected, strict=True):
        np.testing.assert_array_equal(part, wanted)


def test_parts_that_nobody_reads_are_not_cut():
    def before(emit, x):
        return emit(relax.TupleGetItem(emit(relax.op.split(x, 4, axis=0)), 3))

    mod = SplitToSlices.as_pass()(module(before, x=(8, 2)))
    assert op_names(mod) == ["strided_slice"]


# FoldConstants, and the passes together


def test_constants_are_computed_but_rounded_weights_are_not_made():
    mod = module(lambda emit, x: emit(ADD(x, MUL(const([1, 2]), const(3)))), x=(2,))
    expected = module(lambda emit, x: emit(ADD(x, const([3, 6]))), x=(2,))
    assert_rewrites(FoldConstants.as_pass(), mod, expected)


def test_a_folded_number_stays_a_number():
    mod = module(lambda emit, x: emit(ADD(x, MUL(const(2), const(3)))), x=(2,))
    (add,) = Graph(FoldConstants.as_pass()(mod)["main"]).bindings.values()
    assert to_numpy(add.args[1]).shape == ()


def test_the_passes_in_order():
    names = ["SimplifyInference", "SplitToSlices", "FoldConstants", "FoldIntoLayers"]
    config = QConfig(preset="accurate")
    assert [p.info.name for p in affine_passes(config)] == names
    config = QConfig(preset="accurate", equalize=True)
    assert [p.info.name for p in affine_passes(config)] == [*names, "Equalize"]
