"""Parameters of `main`, and what goes in and out of it."""

import numpy as np
import pytest
import torch
import tvm
import tvm_ffi
from tvm.script import ir as I
from tvm.script import relax as R
from tvm.script import tirx as T

from tvm_book.backend import TensorSpec, bind_params, signature


@I.ir_module
class Affine:
    @R.function
    def main(
        data: R.Tensor((2, 3), "float32"),
        weight: R.Tensor((3,), "float32"),
        bias: R.Tensor((3,), "float32"),
    ) -> R.Tensor((2, 3), "float32"):
        R.func_attr({"num_input": 1})
        with R.dataflow():
            lv = R.multiply(data, weight)
            y = R.add(lv, bias)
            R.output(y)
        return y


@I.ir_module
class Nested:
    @R.function
    def main(x: R.Tensor((4,), "int8"), flag: R.Tensor((), "bool")):
        with R.dataflow():
            where = R.nonzero(x)
            out = (x, (flag, where))
            R.output(out)
        return out


@I.ir_module
class Dynamic:
    @R.function
    def main(x: R.Tensor(("n", 3), "float32")):
        n = T.int64()  # noqa: F841
        return x


@I.ir_module
class NoMain:
    @R.function
    def forward(x: R.Tensor((4,), "float32")):
        return x


ONES = np.ones(3, "float32")


def inputs(mod):
    return [spec.name for spec in signature(mod)[0]]


@pytest.mark.parametrize("kind", [np.array, torch.tensor, tvm.runtime.tensor])
def test_parameters_become_constants(kind):
    text = Affine.script()
    bound = bind_params(Affine, {"weight": kind(ONES), "bias": kind(ONES)})
    assert inputs(bound) == ["data"]
    assert Affine.script() == text
    assert "GenericConst" in bound.script()


def test_parameters_are_copies():
    weight, bias = np.ones(64, "float32"), torch.ones(64)
    whole = tvm.script.from_source(Affine.script().replace("3,", "64,").replace(" 3)", " 64)"))
    bound = bind_params(whole, {"weight": weight, "bias": bias})
    copy = bind_params(whole, {"weight": weight.copy(), "bias": bias.clone()})
    weight[:], bias[:] = 7, 7
    assert tvm_ffi.structural_equal(bound, copy)


def test_an_input_may_be_bound_too():
    params = {"data": np.ones((2, 3), "float32"), "weight": ONES, "bias": ONES}
    assert inputs(bind_params(Affine, params)) == []


def test_without_num_input_everything_is_an_input():
    mod = tvm.IRModule({"main": Affine["main"].without_attr("num_input")})
    assert inputs(bind_params(mod)) == ["data", "weight", "bias"]


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (None, ValueError, "the parameters weight, bias have no value: pass them .* params="),
        ({"weight": ONES}, ValueError, "the parameters bias have no value"),
        ({"wieght": ONES, "bias": ONES}, ValueError, "no input 'wieght'; did you mean 'weight'"),
        ({"qqq": ONES}, ValueError, "its inputs are data, weight, bias"),
        ({"weight": np.ones(4, "float32"), "bias": ONES}, ValueError, r"'weight' must have shape"),
        ({"weight": np.ones(3), "bias": ONES}, TypeError, "'weight' must be float32, not float64"),
        ({"weight": [1, 2, 3], "bias": ONES}, TypeError, "parameter 'weight' must be a NumPy"),
        ([ONES, ONES], TypeError, "params must be a mapping from names to arrays, not list"),
    ],
)
def test_wrong_parameters(params, error, message):
    with pytest.raises(error, match=message):
        bind_params(Affine, params)


@pytest.mark.parametrize(
    ("mod", "error", "message"),
    [
        (NoMain, ValueError, "no Relax function named main.* it has forward"),
        (tvm.IRModule({}), ValueError, "it has no function at all"),
        (torch.nn.ReLU(), TypeError, "not ReLU; convert a PyTorch model with tvm_book.frontend"),
        ((Affine, {}), TypeError, "not tuple; importers return"),
        (Affine["main"], TypeError, "a tvm.IRModule is needed, not Function"),
    ],
)
def test_not_a_module_with_main(mod, error, message):
    with pytest.raises(error, match=message):
        bind_params(mod)


def test_signature_lists_nested_outputs_flat():
    assert signature(Nested) == (
        (TensorSpec("x", (4,), "int8"), TensorSpec("flag", (), "bool")),
        (
            TensorSpec("output[0]", (4,), "int8"),
            TensorSpec("output[1][0]", (), "bool"),
            TensorSpec("output[1][1]", (None, None), "int64"),
        ),
    )


def test_dynamic_shapes_are_refused():
    with pytest.raises(NotImplementedError, match=r"input 'x' has a dynamic shape: .*n, 3"):
        signature(Dynamic)
