"""`Graph` and `Rebuilder`: what counts as a node, in which order, and what a rebuild keeps."""

import gc

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R
from tvm_ffi import structural_hash

from tests.quantize.graphs import array, listing, module, run
from tvm_book.quantize._graph import Graph, Rebuilder, op_name

ADD, SUB, RELU = relax.op.add, relax.op.subtract, relax.op.nn.relu


def visited(mod) -> list[str]:
    graph = Graph(mod["main"])
    return [op_name(graph.bindings[var]).rpartition(".")[2] for var in graph.post_order()]


def test_operands_are_visited_left_to_right_each_before_its_reader():
    def build(emit, x):
        # bound in another order than they are read
        right = emit(relax.op.tanh(x))
        left = emit(relax.op.exp(x))
        return emit(ADD(emit(relax.op.abs(left)), emit(relax.op.negative(right))))

    assert visited(module(build, x=(2,))) == ["exp", "abs", "tanh", "negative", "add"]


def test_a_shared_value_is_visited_once_where_it_is_read_first():
    def build(emit, x):
        shared = emit(relax.op.exp(x))
        return emit(SUB(emit(relax.op.abs(shared)), emit(ADD(shared, shared))))

    assert visited(module(build, x=(2,))) == ["exp", "abs", "add", "subtract"]


def test_dead_code_is_left_out():
    def build(emit, x):
        emit(relax.op.exp(emit(relax.op.tanh(x))))
        return emit(relax.op.abs(x))

    mod = module(build, x=(2,))
    assert visited(mod) == ["abs"]
    assert "exp" not in Rebuilder.as_pass()(mod).script()


@I.ir_module
class Tangled:
    """Aliases, a bound constant, tuples in tuples, and no dataflow block."""

    @R.function
    def main(x: R.Tensor((2,), "float32"), y: R.Tensor((2,), "float32")):
        a = R.exp(x)
        alias = a
        again = alias
        one = R.const([1.0, 1.0], "float32")
        pair = (again, y)
        nested = (pair, (one, x))
        first = nested[0]
        fields = (first[1], again)
        b = R.concat(fields, axis=0)
        c = R.add(nested[1][0], first[0])
        d = alias
        return (c, (d, b), x)


def test_aliases_tuples_and_bound_constants_are_no_nodes():
    assert listing(Tangled) == [
        "exp(x)",
        "add(const, %0)",
        "concat(y, %0)",
        "(%1, %0, %2, x)",
    ]


def test_rebuilding_keeps_what_is_computed():
    after = Rebuilder.as_pass()(Tangled)
    assert listing(after) == listing(Tangled)
    relax.analysis.check_well_formed(after)
    x, y = array(2), array(2, seed=1)
    c, (d, b), same_x = run(after, x, y)
    before = run(Tangled, x, y)
    np.testing.assert_array_equal(c, before[0])
    np.testing.assert_array_equal(d, before[1][0])
    np.testing.assert_array_equal(b, before[1][1])
    np.testing.assert_array_equal(same_x, x)


@I.ir_module
class Split:
    @R.function
    def main(x: R.Tensor((4,), "float32")):
        with R.dataflow():
            parts = R.split(x, 2)
            y = R.add(parts[1], parts[0])
            R.output(y)
        return y


def test_fields_of_an_operators_tuple_are_read_through_it():
    assert listing(Split) == ["split(x)", "item(%0, 1)", "item(%0, 0)", "add(%1, %2)", "%3"]
    assert listing(Rebuilder.as_pass()(Split)) == listing(Split)


@pytest.mark.parametrize("returned", ["input", "constant"])
def test_main_that_computes_nothing(returned):
    constant = relax.const(array(2, seed=3))
    mod = module(lambda emit, x: x if returned == "input" else constant, x=(2,))
    assert Graph(mod["main"]).post_order() == []
    after = Rebuilder.as_pass()(mod)
    np.testing.assert_array_equal(run(after, array(2)), run(mod, array(2)))


def test_use_counts_count_operand_places_and_the_result():
    def build(emit, x):
        a = emit(relax.op.exp(x))
        b = emit(ADD(a, a))
        c = emit(relax.op.concat([b, a], 0))
        emit(relax.op.abs(b))  # dead
        return relax.Tuple([c, b, b])

    graph = Graph(module(build, x=(2,))["main"])
    a, b, c = graph.post_order()
    counts = graph.use_counts()
    assert (counts[graph.params[0]], counts[a], counts[b], counts[c]) == (1, 3, 3, 1)


@I.ir_module
class Branch:
    @R.function
    def main(x: R.Tensor((2,), "float32"), cond: R.Tensor((), "bool")):
        if cond:
            y = R.exp(x)
        else:
            y = R.abs(x)
        return y


@I.ir_module
class MatchCast:
    @R.function
    def main(x: R.Tensor((2,), "float32")):
        with R.dataflow():
            y = R.match_cast(x, R.Tensor((2,), "float32"))
            z = R.exp(y)
            R.output(z)
        return z


@I.ir_module
class InnerFunction:
    @R.function
    def main(x: R.Tensor((2,), "float32")):
        @R.function
        def inner(a: R.Tensor((2,), "float32")) -> R.Tensor((2,), "float32"):
            return R.exp(a)

        y = inner(x)
        return y


@pytest.mark.parametrize("mod, name", [(Branch, "y"), (MatchCast, "y"), (InnerFunction, "inner")])
def test_what_is_not_straight_line_is_refused(mod, name):
    with pytest.raises(ValueError, match=f"shape matching at {name}; only straight-line .* export"):
        Graph(mod["main"])


@I.ir_module(check_well_formed=False)
class WithHelper:
    I.module_attrs({"note": 7})
    I.module_global_infos({"vdevice": [I.vdevice("llvm")]})

    @R.function
    def helper(x: R.Tensor((2,), "float32")) -> R.Tensor((2,), "float32"):
        with R.dataflow():
            y = R.exp(x)
            R.output(y)
        return y

    @R.function
    def main(x: R.Tensor((2,), "float32")) -> R.Tensor((2,), "float32"):
        R.func_attr({"num_input": 1, "kept": "yes"})
        cls = WithHelper
        with R.dataflow():
            y = cls.helper(x)
            z = R.reshape(y, (2,))
            w = R.astype(z, "float32")
            R.output(w)
        return w


def test_rebuilding_keeps_attributes_and_other_functions():
    after = Rebuilder.as_pass()(WithHelper)
    assert int(after["main"].attrs["num_input"]) == 1
    assert after["main"].attrs["kept"] == "yes"
    assert after["main"].attrs["global_symbol"] == "main"
    assert int(after.attrs["note"]) == 7
    assert "vdevice" in after.global_infos
    assert after["helper"].same_as(WithHelper["helper"])
    # a call of a function, a shape and a dtype go through unchanged
    tvm.ir.assert_structural_equal(after, WithHelper)


class _Negate(Rebuilder):
    def visit(self, var, expr):
        return self.builder.emit(relax.op.negative(self.copy(expr)))


def test_the_given_module_is_untouched():
    mod = module(lambda emit, x: emit(RELU(emit(relax.op.exp(x)))), x=(2,))
    text, main, count = mod.script(), mod["main"], structural_hash(mod)
    after = _Negate.as_pass()(mod)
    assert listing(after) == ["exp(x)", "negative(%0)", "relu(%1)", "negative(%2)", "%3"]
    assert mod["main"].same_as(main)
    assert (mod.script(), structural_hash(mod)) == (text, count)


def test_params_keep_name_type_and_order():
    mod = module(lambda emit, b, a: emit(SUB(a, b)), b=((2,), "int32"), a=((2,), "int32"))
    after = _Negate.as_pass()(mod)
    assert [(p.name, str(p.ty)) for p in after["main"].params] == [
        (p.name, str(p.ty)) for p in mod["main"].params
    ]
    x = np.array([5, 6], "int32")
    assert run(after, x, x * 2).tolist() == [-5, -6]


class _Fail(Rebuilder):
    def visit(self, var, expr):
        self.copy(expr)
        raise ValueError("refused here")


class _BadEmit(Rebuilder):
    def visit(self, var, expr):
        return self.builder.emit(ADD(expr.args[0], relax.const(array(7))))  # does not broadcast


@pytest.mark.parametrize("rewrite, error", [(_Fail, ValueError), (_BadEmit, Exception)])
def test_an_error_in_a_visit_arrives_alone(rewrite, error, capfd):
    mod = module(lambda emit, x: emit(RELU(emit(relax.op.exp(x)))), x=(2,))
    with pytest.raises(error, match="refused here" if error is ValueError else "(?i)broadcast|add"):
        rewrite.as_pass()(mod)
    gc.collect()
    assert capfd.readouterr() == ("", "")
    assert listing(Rebuilder.as_pass()(mod)) == listing(mod)  # and the next run is not disturbed


def test_pass_name_is_what_instruments_see():
    class Named(Rebuilder):
        pass_name = "AnotherName"

    assert _Negate.as_pass().info.name == "_Negate"
    assert Named.as_pass().info.name == "AnotherName"
