"""Every row of the table of torch functions against the operator that TVM compiles."""

import numpy as np
import pytest
from tvm import IRModule, relax
from tvm.ir import GenericConst

import tvm_book
from tests.quantize.evaluate_cases import EXACT, FALLBACK, ROUNDED
from tvm_book.quantize import _evaluate
from tvm_book.quantize._emitter import Emitter
from tvm_book.quantize._evaluate import Evaluator
from tvm_book.quantize._evaluate_ops import OPERATORS
from tvm_book.quantize._graph import Graph, op_name, to_numpy

CASES = EXACT | ROUNDED | FALLBACK
# Units in the last place of the largest value. Sums of up to 126 terms were seen to differ by 3,
# functions by 1; the order of a sum depends on the width of the vectors of the machine.
ULPS = 6


@pytest.fixture(scope="module")
def all_cases():
    """One module with every case, because compiling each alone would take minutes.

    Arrays become inputs, so that no compiler computes anything beforehand.
    """
    emitter, inputs = Emitter(), {}

    def lift(expr):
        if isinstance(expr, relax.Tuple):
            return relax.Tuple([lift(field) for field in expr.fields])
        if isinstance(expr, GenericConst) and expr.ty.shape:
            param = relax.Var(f"x{len(inputs)}", expr.ty)
            inputs[param] = to_numpy(expr)
            return param
        if isinstance(expr, relax.Call):
            args = [lift(arg) for arg in expr.args]
            return emitter.emit(relax.Call(expr.op, args, expr.attrs, expr.ty_args))
        return expr

    results = [lift(case()) for case in CASES.values()]
    main = emitter.function(list(inputs), relax.Tuple(results), {"global_symbol": "main"})
    return IRModule({"main": main}), {param.name: value for param, value in inputs.items()}, results


@pytest.fixture(scope="module")
def expected(all_cases):
    mod, inputs, _ = all_cases
    return dict(zip(CASES, tvm_book.compile(mod)(**inputs), strict=True))


@pytest.fixture(scope="module")
def evaluated(all_cases):
    """What the evaluator computes, and which cases TVM had to compile."""
    mod, inputs, results = all_cases
    graph, compiled = Graph(mod["main"]), []
    compile_call = _evaluate.compile_call
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            _evaluate,
            "compile_call",
            lambda call, *a: compiled.append(call) or compile_call(call, *a),
        )
        values = Evaluator(graph, results)(inputs)
    return dict(zip(CASES, values, strict=True)), [op_name(call) for call in compiled]


def as_list(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def test_values_are_those_of_tvm(evaluated, expected):
    """One test, so that only one worker compiles; it tells every case that differs."""
    wrong = {}
    for name in CASES:
        actual, wanted = as_list(evaluated[0][name]), as_list(expected[name])
        assert len(actual) == len(wanted), name
        for a, b in zip(actual, wanted, strict=True):
            tolerance = ULPS * np.spacing(np.abs(b).max()) if name in ROUNDED else 0
            if (a.dtype, a.shape) != (b.dtype, b.shape):
                wrong[name] = (a.dtype, a.shape), (b.dtype, b.shape)
            elif not np.allclose(a, b, rtol=0, atol=tolerance, equal_nan=True):
                wrong[name] = a, b
    assert not wrong


def test_tvm_computes_only_what_torch_cannot(evaluated):
    assert len(evaluated[1]) == len(FALLBACK) - 1  # the last one is about an argument


def test_every_row_has_a_case(all_cases):
    graph = Graph(all_cases[0]["main"])
    assert set(OPERATORS) <= {op_name(graph.bindings[var]) for var in graph.post_order()}
