"""Equalize: ranges of channels between two layers become equal, the function stays."""

import numpy as np
import pytest
from tvm import relax

from tests.quantize.graphs import array, assert_rewrites, module
from tvm_book.quantize._evaluate import Evaluator
from tvm_book.quantize._graph import Graph, op_name, to_numpy
from tvm_book.quantize.equalize import Equalize

PASS = Equalize.as_pass()
conv2d, relu, add = relax.op.nn.conv2d, relax.op.nn.relu, relax.op.add
UNEVEN = np.float32(10.0) ** np.arange(-2, 3)  # of five channels


def const(x):
    return relax.const(np.asarray(x, np.float32))


def rows(w):
    """Largest magnitude of each output channel of a weight."""
    return np.abs(w).reshape(len(w), -1).max(axis=1)


def columns(w):
    """Largest magnitude of each input channel of a weight."""
    return rows(np.moveaxis(w, 1, 0))


def weights(mod):
    graph = Graph(mod["main"])
    calls = [graph.bindings[var] for var in graph.post_order()]
    return [to_numpy(call.args[1]) for call in calls if op_name(call).startswith("relax.nn.conv")]


def evaluate(mod, x):
    graph = Graph(mod["main"])
    return Evaluator(graph, [graph.output])({"x": x})[0]


def pair(between, first=None, second=None, x=(1, 3, 6, 6), **options):
    """Make a convolution to five channels of uneven ranges, something, and another one."""
    w1 = array(5, 3, 3, 3) * UNEVEN.reshape(-1, 1, 1, 1) if first is None else first
    w2 = array(4, 5, 1, 1, seed=1) if second is None else second

    def build(emit, x):
        return emit(conv2d(emit(between(emit, emit(conv2d(x, const(w1))))), const(w2), **options))

    return module(build, x=x)


def check_same_function(before, after):
    x = array(2, *[int(n) for n in before["main"].params[0].ty.shape][1:], seed=9)
    expected = evaluate(before, x)
    # sums of 27 products, rounded at each step to 2**-24 of the largest
    atol = 27 * 2**-24 * np.abs(expected).max()
    np.testing.assert_allclose(evaluate(after, x), expected, rtol=0, atol=atol)


BETWEEN = {
    "nothing": lambda emit, y: y,
    "relu": lambda emit, y: relu(y),
    "leaky relu": lambda emit, y: relax.op.nn.leakyrelu(y, 0.2),
    "max pool": lambda emit, y: relax.op.nn.max_pool2d(y, (2, 2)),
    "bias": lambda emit, y: add(y, const(array(5, 1, 1, seed=3))),
    "bias of four axes": lambda emit, y: add(y, const(array(1, 5, 1, 1, seed=3))),
    "a number as bias": lambda emit, y: add(y, const(0.7)),
    "bias, relu, pool": lambda emit, y: relax.op.nn.avg_pool2d(
        emit(relu(emit(add(y, const(array(5, 1, 1, seed=3)))))), (2, 2)
    ),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_ranges_become_equal_and_the_function_stays(name):
    before = pair(BETWEEN[name])
    after = PASS(before)
    first, second = weights(before)
    w1, w2 = weights(after)
    np.testing.assert_allclose(rows(w1), columns(w2), rtol=1e-6)  # float32
    np.testing.assert_allclose(rows(w1), np.sqrt(rows(first) * columns(second)), rtol=1e-6)
    check_same_function(before, after)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_behind(multiplier):
    """Each channel is read by the filters that make ``multiplier`` channels of it."""
    w2 = array(5 * multiplier, 1, 3, 3, seed=1)
    before = pair(BETWEEN["bias, relu, pool"], second=w2, groups=5, x=(1, 3, 10, 10))
    after = PASS(before)
    w1, w2 = weights(after)
    np.testing.assert_allclose(rows(w1), rows(w2).reshape(5, -1).max(axis=1), rtol=1e-6)
    check_same_function(before, after)


def test_inverted_residual():
    """Two pairs with a layer in common: the sweeps end where both are even, to 1 %."""

    def build(emit, x):
        y = emit(relu(emit(conv2d(x, const(array(5, 3, 1, 1) * UNEVEN.reshape(-1, 1, 1, 1))))))
        y = emit(relu(emit(conv2d(y, const(array(5, 1, 3, 3, seed=1)), padding=1, groups=5))))
        return emit(conv2d(y, const(array(3, 5, 1, 1, seed=2))))

    before = module(build, x=(1, 3, 6, 6))
    after = PASS(before)
    expand, depthwise, project = weights(after)
    np.testing.assert_allclose(rows(expand), rows(depthwise), rtol=0.01)
    np.testing.assert_allclose(rows(depthwise), columns(project), rtol=0.01)
    check_same_function(before, after)


def test_conv1d():
    def build(emit, x):
        w1 = array(5, 3, 1) * UNEVEN.reshape(-1, 1, 1)
        y = emit(relu(emit(relax.op.nn.conv1d(x, const(w1)))))
        return emit(relax.op.nn.conv1d(y, const(array(2, 5, 3, seed=1))))

    before = module(build, x=(1, 3, 6))
    after = PASS(before)
    w1, w2 = weights(after)
    np.testing.assert_allclose(rows(w1), columns(w2), rtol=1e-6)
    check_same_function(before, after)


def test_channels_that_are_dead_stay():
    w1, w2 = array(5, 3, 1, 1), array(4, 5, 1, 1, seed=1)
    w1[1], w2[:, 3] = 0, 0
    before = pair(BETWEEN["relu"], first=w1, second=w2)
    after = PASS(before)
    new1, new2 = weights(after)
    for dead in (1, 3):
        np.testing.assert_array_equal(new1[dead], w1[dead])
        np.testing.assert_array_equal(new2[:, dead], w2[:, dead])
    check_same_function(before, after)


def grouped(emit, x):
    y = emit(conv2d(x, const(array(4, 3, 1, 1) * UNEVEN[:4].reshape(-1, 1, 1, 1))))
    return emit(conv2d(y, const(array(4, 2, 1, 1, seed=1)), groups=2))


def read_twice(emit, x):
    y = emit(conv2d(x, const(array(5, 3, 1, 1))))
    return emit(add(emit(conv2d(y, const(array(5, 5, 1, 1, seed=1)))), y))


def returned(emit, x):
    y = emit(conv2d(x, const(array(5, 3, 1, 1))))
    return relax.Tuple([y, emit(conv2d(y, const(array(5, 5, 1, 1, seed=1))))])


UNCHANGED = {
    "relu6": pair(lambda emit, y: relax.op.clip(y, 0, 6)),
    "sigmoid": pair(lambda emit, y: relax.op.sigmoid(y)),
    "a bias behind relu": pair(lambda emit, y: add(emit(relu(y)), const(array(5, 1, 1)))),
    "a bias that is not of channels": pair(lambda emit, y: add(y, const(array(1, 4, 4)))),
    "two biases": pair(lambda emit, y: add(emit(add(y, const(1))), const(2))),
    "groups": module(grouped, x=(1, 3, 4, 4)),
    "read twice": module(read_twice, x=(1, 3, 4, 4)),
    "returned": module(returned, x=(1, 3, 4, 4)),
    "one layer": module(lambda emit, x: emit(conv2d(x, const(array(5, 3, 1, 1)))), x=(1, 3, 4, 4)),
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_what_stays(name):
    assert_rewrites(PASS, UNCHANGED[name], UNCHANGED[name])
