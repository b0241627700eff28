"""The evaluator: what it computes, in which order, what it keeps, and what TVM does for it."""

import gc
import weakref

import numpy as np
import pytest
import torch
from tvm import relax, te

from tests.quantize.graphs import array, conv, module
from tvm_book.quantize import _evaluate
from tvm_book.quantize._evaluate import Evaluator, evaluate_call
from tvm_book.quantize._graph import Graph, op_name


def network(emit, x):
    halves = emit(relax.op.split(emit(conv(x, 4)), 2, 1))
    left, right = (emit(relax.TupleGetItem(halves, i)) for i in (0, 1))
    return emit(relax.op.add(emit(relax.op.nn.relu(left)), emit(relax.op.exp(right))))


def variables(graph):
    return {op_name(graph.bindings[var]): var for var in graph.post_order()}


def network_graph():
    return Graph(module(network, x=(1, 3, 6, 6))["main"])


X = array(1, 3, 6, 6)


def test_values_are_handed_on_once_each_as_soon_as_they_are_there():
    graph = network_graph()
    var, order = variables(graph), []
    wanted = [var["relax.add"], var["relax.nn.relu"], graph.params[0], var["relax.nn.conv2d"]]
    Evaluator(graph, wanted).run({"x": X}, lambda index, value: order.append(index))
    assert order == [2, 3, 1, 0]


def test_wanted_may_be_anything_in_the_graph():
    graph = network_graph()
    var = variables(graph)
    weight = graph.bindings[var["relax.nn.conv2d"]].args[1]
    split, relu, exp = var["relax.split"], var["relax.nn.relu"], var["relax.exp"]
    pair, halves, same, x, w = Evaluator(
        graph, [relax.Tuple([relu, exp]), split, relu, graph.params[0], weight]
    )({"x": X})
    np.testing.assert_array_equal(pair[0], np.maximum(halves[0], 0))
    np.testing.assert_array_equal(pair[0], same)
    np.testing.assert_allclose(pair[1], np.exp(halves[1]), rtol=1e-6)  # another exp
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(w, weight.value.numpy())


def test_only_what_is_needed_is_computed(monkeypatch):
    graph, computed = network_graph(), []
    monkeypatch.setattr(
        _evaluate, "_with_torch", lambda call, args: computed.append(op_name(call)) or args[0]
    )
    Evaluator(graph, [variables(graph)["relax.nn.conv2d"]])({"x": X})
    assert computed == ["relax.nn.conv2d"]


def test_inputs_that_are_not_needed_may_be_left_out():
    mod = module(
        lambda emit, a, b: emit(relax.op.add(emit(relax.op.nn.relu(a)), b)), a=(3,), b=(3,)
    )
    graph = Graph(mod["main"])
    evaluator = Evaluator(graph, [variables(graph)["relax.nn.relu"]])
    assert evaluator({"a": np.array([-1, 0, 2], "float32")})[0].tolist() == [0, 0, 2]


def test_values_are_freed_after_their_last_use():
    """A chain: two values at a time, the one that is computed and the one that it is made of."""

    def chain(emit, x):
        for _ in range(6):
            x = emit(relax.op.add(x, relax.const(np.float32(1))))
        return x

    graph = Graph(module(chain, x=(8,))["main"])
    alive, most = weakref.WeakSet(), []

    def watch(index, value):
        alive.add(value)
        most.append(len(alive))

    gc.disable()  # freed by their reference counts alone
    try:
        Evaluator(graph, graph.post_order()).run({"x": np.zeros(8, "float32")}, watch)
    finally:
        gc.enable()
    assert len(most) == 6 and max(most) <= 2
    assert not alive


def test_nothing_that_autograd_would_keep():
    graph, kept = network_graph(), []
    Evaluator(graph, [graph.output]).run({"x": X}, lambda i, v: kept.append(v.requires_grad))
    assert kept == [False]


@pytest.mark.parametrize(
    "x",
    [
        X[:, :, ::-1],
        np.asfortranarray(X),
        X.astype(">f4"),
        np.frombuffer(X.tobytes(), "f4").reshape(X.shape),
    ],
    ids=["negative strides", "column order", "foreign byte order", "read-only"],
)
def test_any_array_is_an_input(x):
    graph = network_graph()
    evaluator = Evaluator(graph, [graph.output])
    expected = evaluator({"x": np.array(x, "f4", order="C")})[0]
    np.testing.assert_array_equal(evaluator({"x": x})[0], expected)


def test_the_callers_arrays_stay_as_they_are():
    graph, x = network_graph(), X.copy()
    Evaluator(graph, [graph.output])({"x": x})
    np.testing.assert_array_equal(x, X)


def test_functions_of_the_module_may_be_called():
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((4,), "float32"))
    y = relax.Var("y", x.ty)
    with builder.function("minus", [y]):
        minus = builder.emit_func_output(builder.emit(relax.op.negative(y)))
    with builder.function("main", [x]):
        doubled = builder.emit_te(lambda a: te.compute(a.shape, lambda i: a[i] * 2), x)
        builder.emit_func_output(builder.emit(relax.Call(minus, [doubled])))
    mod = builder.get()
    graph = Graph(mod["main"])
    (result,) = Evaluator(graph, [graph.output], mod)({"x": np.arange(4, dtype="float32")})
    assert result.tolist() == [0, -2, -4, -6]


def test_tvm_compiles_a_call_once(monkeypatch):
    graph = Graph(module(lambda emit, x: emit(relax.op.argsort(x)), x=(5,))["main"])
    evaluator, compiled = Evaluator(graph, [graph.output]), []
    compile_call = _evaluate.compile_call
    monkeypatch.setattr(
        _evaluate, "compile_call", lambda *a: compiled.append(a) or compile_call(*a)
    )
    for seed in range(3):
        x = array(5, seed=seed)
        np.testing.assert_array_equal(evaluator({"x": x})[0], np.argsort(x))
    assert len(compiled) == 1


def test_evaluate_call_takes_tensors_of_other_shapes():
    x = relax.Var("x", relax.TensorType((2, 8), "float32"))
    call = relax.BlockBuilder().normalize(relax.op.nn.leakyrelu(x, 0.5))
    assert evaluate_call(call, [torch.arange(-2.0, 2)]).tolist() == [-1, -0.5, 0, 1]


def test_evaluate_call_with_another_constant():
    """The values of the caller count, not those in the call."""
    x = relax.Var("x", relax.TensorType((3,), "float32"))
    call = relax.BlockBuilder().normalize(relax.op.floor_mod(x, relax.const(np.float32(2))))
    assert evaluate_call(call, [torch.tensor([1.0, 5, 7]), torch.tensor(3.0)]).tolist() == [1, 2, 1]
    ints = relax.BlockBuilder().normalize(
        relax.op.full((2,), relax.const(np.float32(2)), "float32")
    )
    compiled = _evaluate.compile_call(ints, [torch.tensor(5.0)])
    assert compiled([torch.tensor(5.0)]).tolist() == [5, 5]


def test_an_operator_without_loops_is_named():
    x = relax.Var("x", relax.TensorType((1, 4, 2, 2), "float32"))
    call = relax.op.nn.max_pool2d(x, 2, layout="NCHW", out_layout="NHWC")
    call = relax.BlockBuilder().normalize(call)
    with pytest.raises(NotImplementedError, match=r"relax\.nn\.max_pool2d cannot be evaluated"):
        evaluate_call(call, [torch.zeros(1, 4, 2, 2)])
