"""What integer operators ask of values before them."""

import pytest
from tvm import relax

from tests.quantize.graphs import constant, conv, module
from tvm_book.quantize._demand import demands
from tvm_book.quantize._graph import Graph, op_name
from tvm_book.quantize.rules.affine import AFFINE

SHAPE = (1, 3, 4, 4)
relu, sigmoid, softmax = relax.op.nn.relu, relax.op.sigmoid, relax.op.nn.softmax


def asks(expr):
    rule = AFFINE.rule_for(expr)
    return rule.asks(expr) if callable(rule.asks) else rule.asks


def demanded(build, skipped=(), **inputs):
    """Names of what is asked: parameters by name, others by operator."""
    graph = Graph(module(build, **(inputs or {"x": SHAPE}))["main"])
    order = graph.post_order()
    out = [var for var in order if op_name(graph.bindings[var]).removeprefix("relax.") in skipped]
    found = demands(graph, asks, set(out))
    assert set(found) <= {*graph.params, *order}
    return {
        op_name(graph.bindings[v]).removeprefix("relax.") if v in graph.bindings else v.name: kind
        for v, kind in found.items()
    }


def chain(*functions):
    def build(emit, x):
        for function in functions:
            x = emit(function(x))
        return x

    return build


CASES = {
    "a layer asks for its data": (chain(conv), {"x": "input"}),
    "nothing is asked of a result": (chain(conv, relu), {"x": "input"}),
    "without a layer, nothing": (chain(relu, sigmoid), {}),
    "others pass it on": (
        chain(relu, sigmoid, conv),
        {"x": "input", "nn.relu": "input", "sigmoid": "input"},
    ),
    "float operators do not": (chain(relu, softmax, conv), {"nn.softmax": "input"}),
}


@pytest.mark.parametrize("name", CASES)
def test_demand(name):
    build, expected = CASES[name]
    assert demanded(build) == expected


def test_skipped_operators_ask_nothing_and_pass_nothing_on():
    assert demanded(chain(relu, conv), skipped=("nn.conv2d",)) == {}
    assert demanded(chain(relu, conv), skipped=("nn.relu",)) == {"nn.relu": "input"}


def product(*functions):
    def build(emit, x, y):
        for function in functions:
            y = emit(function(y))
        return emit(relax.op.matmul(x, y))

    return build


def test_a_product_asks_for_a_grid_without_zero_point_on_its_right():
    found = demanded(product(relu, relax.op.permute_dims), x=(2, 3), y=(2, 3))
    assert found == {
        "x": "input",
        "permute_dims": "symmetric",
        "nn.relu": "symmetric",
        "y": "symmetric",
    }


@pytest.mark.parametrize("order", ["layer first", "product first"])
def test_symmetric_wins_over_input(order):
    def build(emit, x):
        y = emit(relu(x))
        both = [emit(relax.op.matmul(y, constant(4, 4))), emit(relax.op.matmul(x, y))]
        return relax.Tuple(both if order == "layer first" else both[::-1])

    assert demanded(build, x=(4, 4)) == {"nn.relu": "symmetric", "x": "symmetric"}


def test_every_field_of_a_concatenation_is_asked():
    def build(emit, x, y):
        return emit(conv(emit(relax.op.concat([x, emit(relu(y))], 1))))

    found = demanded(build, x=SHAPE, y=SHAPE)
    assert found == dict.fromkeys(["concat", "x", "nn.relu", "y"], "input")
