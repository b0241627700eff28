"""Folding of per-channel factors into weights, rule by rule, and that it changes no function."""

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from tests.quantize.graphs import array, assert_rewrites, constant, listing, module, run
from tvm_book.quantize import ops
from tvm_book.quantize._fold_scale_axis import BackwardFoldScaleAxis, ForwardFoldScaleAxis

ADD, MULTIPLY, RELU = relax.op.add, relax.op.multiply, relax.op.nn.relu
CONV = relax.op.nn.conv2d
BACKWARD, FORWARD = BackwardFoldScaleAxis.as_pass(), ForwardFoldScaleAxis.as_pass()
SHAPE = (1, 3, 5, 5)
W, V = array(3, 3, 3, 3), array(3, 3, 1, 1, seed=1)
DEPTHWISE = array(3, 1, 3, 3, seed=2)
DENSE = array(3, 3, seed=3)
C = array(3, 1, 1, seed=4)
POSITIVE = np.abs(C)
B = array(3, seed=5)


def rows(weight, factors):
    """Scale output channels."""
    return weight * factors.reshape(-1, 1, 1, 1)


def columns(weight, factors):
    """Scale input channels."""
    return weight * factors.reshape(1, -1, 1, 1)


def graph(build, shape=SHAPE, **more):
    """Make a module; ``build`` may nest expressions."""
    return module(lambda emit, *x: emit(build(*x)), x=shape, **more)


def assert_stays(rewrite, mod):
    assert_rewrites(rewrite, mod, mod)


k = relax.const

# backward: into the layer that made the value


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 3, 1, 1)])
@pytest.mark.parametrize("order", ["value first", "factor first"])
def test_backward_scales_the_rows_of_a_conv2d(shape, order):
    c = C.reshape(shape)

    def build(x):
        layer = CONV(x, k(W))
        return MULTIPLY(layer, k(c)) if order == "value first" else MULTIPLY(k(c), layer)

    assert_rewrites(BACKWARD, graph(build), graph(lambda x: CONV(x, k(rows(W, C)))))


def test_backward_repeats_a_scalar():
    mod = graph(lambda x: MULTIPLY(CONV(x, k(W)), k(np.float32(0.3))))
    assert_rewrites(BACKWARD, mod, graph(lambda x: CONV(x, k(W * np.float32(0.3)))))


def test_backward_scales_a_depthwise_conv2d():
    mod = graph(lambda x: MULTIPLY(CONV(x, k(DEPTHWISE), groups=3), k(C)))
    expected = graph(lambda x: CONV(x, k(rows(DEPTHWISE, C)), groups=3))
    assert_rewrites(BACKWARD, mod, expected)


def test_backward_scales_the_columns_of_a_dense_weight():
    c = array(1, 3, seed=4)
    mod = graph(lambda x: MULTIPLY(relax.op.matmul(x, k(DENSE)), k(c)), shape=(2, 3))
    expected = graph(lambda x: relax.op.matmul(x, k(DENSE * c)), shape=(2, 3))
    assert_rewrites(BACKWARD, mod, expected)


def test_backward_scales_bias_and_per_channel_terms_on_the_way():
    term = array(1, 3, 1, 1, seed=6)

    def build(x):
        biased = ops.bias_add(CONV(x, k(W)), k(B), axis=1)
        return MULTIPLY(ADD(k(term), RELU(biased)), k(POSITIVE))

    def expected(x):
        biased = ops.bias_add(CONV(x, k(rows(W, POSITIVE))), k(B * POSITIVE.reshape(-1)), axis=1)
        return ADD(k(term * POSITIVE[None]), RELU(biased))

    assert_rewrites(BACKWARD, graph(build), graph(expected))


def test_backward_scales_both_branches_of_an_addition():
    mod = graph(lambda x: MULTIPLY(ADD(CONV(x, k(V)), RELU(CONV(x, k(V)))), k(POSITIVE)))
    v = k(rows(V, POSITIVE))
    assert_rewrites(BACKWARD, mod, graph(lambda x: ADD(CONV(x, v), RELU(CONV(x, v)))))


def test_backward_needs_no_sign_without_relu():
    mod = graph(lambda x: MULTIPLY(ADD(CONV(x, k(V)), CONV(x, k(V))), k(C)))
    assert (C < 0).any()
    v = k(rows(V, C))
    assert_rewrites(BACKWARD, mod, graph(lambda x: ADD(CONV(x, v), CONV(x, v))))


def wide_sum(x):
    return ADD(CONV(x, k(V)), k(array(1, 3, 5, 5)))


BACKWARD_STAYS = {
    "relu and a negative factor": lambda x: MULTIPLY(RELU(CONV(x, k(V))), k(C)),
    "relu in one branch and a negative factor": lambda x: MULTIPLY(
        ADD(RELU(CONV(x, k(V))), CONV(x, k(V))), k(C)
    ),
    "two groups of channels": lambda x: MULTIPLY(
        CONV(relax.op.concat([x, x], 1), k(array(6, 3, 1, 1)), groups=2), k(array(6, 1, 1))
    ),
    "depthwise with a multiplier": lambda x: MULTIPLY(
        CONV(x, k(array(6, 1, 1, 1)), groups=3), k(array(6, 1, 1))
    ),
    "factor along the width": lambda x: MULTIPLY(CONV(x, k(V)), k(array(5))),
    "factor per element": lambda x: MULTIPLY(CONV(x, k(V)), k(array(1, 3, 5, 5))),
    "single factor in a vector": lambda x: MULTIPLY(CONV(x, k(V)), k(array(1))),
    "bias along another axis": lambda x: MULTIPLY(
        ops.bias_add(CONV(x, k(V)), k(array(5)), axis=3), k(C)
    ),
    "term per element": lambda x: MULTIPLY(wide_sum(x), k(C)),
    "addition of what offers nothing": lambda x: MULTIPLY(ADD(CONV(x, k(V)), x), k(C)),
    "pooling in between": lambda x: MULTIPLY(relax.op.nn.max_pool2d(CONV(x, k(V))), k(C)),
    "no layer": lambda x: MULTIPLY(RELU(x), k(POSITIVE)),
}


@pytest.mark.parametrize("name", BACKWARD_STAYS)
def test_backward_leaves(name):
    assert_stays(BACKWARD, graph(BACKWARD_STAYS[name]))


@pytest.mark.parametrize("rewrite", [BACKWARD, FORWARD])
@pytest.mark.parametrize("layouts", [("NHWC", "OHWI"), ("NCHW", "HWIO"), ("NHWC", "HWIO")])
def test_other_layouts_are_left(layouts, rewrite):
    data, kernel = layouts
    weight = k(array(3, 3, 3, 3))

    def build(x):
        y = CONV(MULTIPLY(x, k(C)), weight, data_layout=data, kernel_layout=kernel)
        return MULTIPLY(y, k(np.float32(2)))

    assert_stays(rewrite, graph(build, shape=(1, 3, 3, 3)))


def test_backward_leaves_a_value_with_two_readers():
    def build(emit, x):
        layer = emit(CONV(x, k(V)))
        return emit(ADD(emit(MULTIPLY(layer, k(C))), layer))

    assert_stays(BACKWARD, module(build, x=SHAPE))


def test_backward_leaves_the_square_of_a_value():
    def build(emit, x):
        layer = emit(CONV(x, k(V)))
        return emit(MULTIPLY(emit(ADD(layer, layer)), k(C)))

    assert_stays(BACKWARD, module(build, x=SHAPE))


def test_backward_leaves_run_time_weights_and_factors():
    mod = graph(lambda x, w: MULTIPLY(CONV(x, w), k(C)), w=(3, 3, 1, 1))
    assert_stays(BACKWARD, mod)
    mod = graph(lambda x, c: MULTIPLY(CONV(x, k(V)), c), c=(3, 1, 1))
    assert_stays(BACKWARD, mod)


def test_backward_leaves_the_axis_of_a_linear_bias_alone():
    def build(x):
        biased = ops.bias_add(relax.op.matmul(x, k(DENSE)), k(B), axis=-1)
        return MULTIPLY(biased, k(array(1, 3)))

    assert_stays(BACKWARD, graph(build, shape=(2, 3)))


# forward: into the layers that read the value


def test_forward_scales_the_columns_of_a_conv2d():
    mod = graph(lambda x: CONV(MULTIPLY(x, k(C)), k(W)))
    assert_rewrites(FORWARD, mod, graph(lambda x: CONV(x, k(columns(W, C)))))


def test_forward_scales_a_depthwise_conv2d_by_its_output_channels():
    mod = graph(lambda x: CONV(MULTIPLY(k(C), x), k(DEPTHWISE), groups=3))
    expected = graph(lambda x: CONV(x, k(rows(DEPTHWISE, C)), groups=3))
    assert_rewrites(FORWARD, mod, expected)


def test_forward_scales_the_rows_of_a_dense_weight():
    c = array(1, 3, seed=4)
    mod = graph(lambda x: relax.op.matmul(MULTIPLY(x, k(c)), k(DENSE)), shape=(2, 3))
    expected = graph(lambda x: relax.op.matmul(x, k(DENSE * c.reshape(-1, 1))), shape=(2, 3))
    assert_rewrites(FORWARD, mod, expected)


def test_forward_divides_terms_on_the_way():
    mod = graph(lambda x: CONV(RELU(ADD(MULTIPLY(x, k(POSITIVE)), k(C))), k(W)))
    expected = graph(lambda x: CONV(RELU(ADD(x, k(C / POSITIVE))), k(columns(W, POSITIVE))))
    assert_rewrites(FORWARD, mod, expected)


def test_forward_serves_several_readers_that_all_ask():
    def build(emit, x):
        scaled = emit(MULTIPLY(x, k(POSITIVE)))
        left = emit(CONV(scaled, k(V)))
        return emit(ADD(left, emit(CONV(emit(RELU(scaled)), k(V)))))

    def expected(emit, x):
        v = k(columns(V, POSITIVE))
        return emit(ADD(emit(CONV(x, v)), emit(CONV(emit(RELU(x)), v))))

    assert_rewrites(FORWARD, module(build, x=SHAPE), module(expected, x=SHAPE))


@pytest.mark.parametrize("other", ["a sum", "the result", "a relu with a negative factor"])
def test_forward_leaves_a_value_that_one_reader_needs_as_it_is(other):
    def build(emit, x):
        scaled = emit(MULTIPLY(x, k(C)))
        layer = emit(CONV(scaled, k(V)))
        if other == "the result":
            return relax.Tuple([layer, scaled])
        if other == "a sum":
            return emit(ADD(layer, scaled))
        return emit(ADD(layer, emit(CONV(emit(RELU(scaled)), k(V)))))

    assert_stays(FORWARD, module(build, x=SHAPE))


FORWARD_STAYS = {
    "relu and a negative factor": lambda x: CONV(RELU(MULTIPLY(x, k(C))), k(W)),
    "two groups of channels": lambda x: CONV(
        MULTIPLY(relax.op.concat([x, x], 1), k(array(6, 1, 1))), k(array(6, 3, 1, 1)), groups=2
    ),
    "pooling in between": lambda x: CONV(relax.op.nn.max_pool2d(MULTIPLY(x, k(C))), k(W)),
    "addition of another value": lambda x: CONV(ADD(MULTIPLY(x, k(C)), x), k(W)),
    "a factor that is used as weight": lambda x: CONV(
        x, relax.op.reshape(MULTIPLY(relax.op.mean(x, [2, 3]), k(array(1, 3))), (1, 3, 1, 1))
    ),
    "division of a term by zero": lambda x: CONV(
        ADD(MULTIPLY(x, k(np.float32([1, 0, 2]).reshape(3, 1, 1))), k(C)), k(W)
    ),
}


@pytest.mark.parametrize("name", FORWARD_STAYS)
def test_forward_leaves(name):
    assert_stays(FORWARD, graph(FORWARD_STAYS[name]))


def test_forward_folds_a_zero_factor_where_nothing_is_divided():
    c = np.float32([1, 0, 2]).reshape(3, 1, 1)
    mod = graph(lambda x: CONV(RELU(MULTIPLY(x, k(c))), k(W)))
    assert_rewrites(FORWARD, mod, graph(lambda x: CONV(RELU(x), k(columns(W, c)))))


# the function stays the same


@st.composite
def networks(draw):
    """Layers, activations, additions and factors in a random chain with random second readers."""
    steps = draw(st.lists(st.integers(0, 9), min_size=2, max_size=9))
    numbers = np.random.default_rng(draw(st.integers(0, 99)))

    def random(*shape, signed=True):
        values = numbers.uniform(0.5, 1.5, shape).astype("float32")
        return k(values * numbers.choice([-1, 1], shape).astype("float32") if signed else values)

    def build(emit, x):
        values = [x]
        for step in steps:
            x = values[-1]
            if step < 3:
                groups = 3 if step == 2 else 1
                layer = CONV(x, random(3, 3 // groups, 1, 1), groups=groups)
                values.append(emit(layer))
            elif step < 6:
                shape = [(), (3, 1, 1), (1, 3, 1, 1)][step % 3]
                values.append(emit(MULTIPLY(x, random(*shape, signed=step != 4))))
            elif step == 6:
                values.append(emit(RELU(x)))
            elif step == 7:
                values.append(emit(ADD(x, random(3, 1, 1))))
            elif step == 8:
                values.append(emit(ops.bias_add(x, random(3), axis=1)))
            else:
                values.append(emit(ADD(x, values[len(values) // 2])))
        return values[-1]

    return module(build, x=(1, 3, 2, 2))


@settings(max_examples=20)
@given(networks())
def test_folding_preserves_the_function(mod):
    folded = tvm.transform.Sequential([BACKWARD, FORWARD])(mod)
    x = array(1, 3, 2, 2)
    before, after = run(mod, x), run(folded, x)
    # Each of up to 9 steps rounds sums of 3 products in another order: a few ulp of the largest
    # intermediate value, which cancellation can leave large beside the result.
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4 * np.abs(before).max() + 1e-4)


def test_folding_both_ways_leaves_no_factor_between_layers():
    mod = graph(
        lambda x: CONV(MULTIPLY(RELU(MULTIPLY(CONV(x, k(W)), k(POSITIVE))), k(POSITIVE)), k(V))
    )
    folded = tvm.transform.Sequential([BACKWARD, FORWARD])(mod)
    assert listing(folded) == ["conv2d(x, const)", "relu(%0)", "conv2d(%1, const)", "%2"]


def test_weights_shared_by_two_layers_are_scaled_for_one():
    shared = constant(3, 3, 1, 1)

    def build(emit, x):
        return emit(ADD(emit(MULTIPLY(emit(CONV(x, shared)), k(C))), emit(CONV(x, shared))))

    def expected(emit, x):
        scaled = k(rows(shared.value.numpy(), C))
        return emit(ADD(emit(CONV(x, scaled)), emit(CONV(x, shared))))

    assert_rewrites(BACKWARD, module(build, x=SHAPE), module(expected, x=SHAPE))
