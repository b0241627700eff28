"""Every variable of an imported model tells which torch module computed it."""

from __future__ import annotations

import keyword

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import tvm
from torch import nn
from tvm import relax

from tvm_book._signature import bind_params
from tvm_book.frontend import from_pytorch, module_path
from tvm_book.frontend._paths import path_to_name

# What torch warns about when a test itself traces or exports.
pytestmark = pytest.mark.filterwarnings(
    *(f"ignore::{kind}" for kind in ("FutureWarning", "DeprecationWarning", "UserWarning"))
)
SHAPE = (2, 3, 6, 6)
CONV, LINEAR = ("nn.conv2d", "reshape", "add"), ("permute_dims", "matmul", "reshape", "add")


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 3, padding=1)
        self.bn = nn.BatchNorm2d(3)
        self.act = nn.ELU()  # one operator of torch, several of Relax

    def forward(self, x):
        return self.act(self.bn(self.conv1(x))) + x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(Block())
        self.drop = nn.Dropout()
        self.fc = nn.Linear(108, 5)
        self.shift = nn.Parameter(torch.ones(5))

    def forward(self, x):
        x = self.layer1(self.layer1(x))
        x = self.drop(x.reshape(x.shape[0], -1))
        return F.linear(self.fc(x), self.fc.weight[:, :5]) + self.shift


def capture(model, kind):
    x = torch.zeros(SHAPE)
    if kind == "traced":
        return torch.jit.trace(model, x)
    if kind == "dynamic":
        dim = torch.export.Dim("n", min=2, max=4)
        return torch.export.export(model, (torch.zeros(3, *SHAPE[1:]),), dynamic_shapes=({0: dim},))
    if kind in ("exported", "strict"):
        return torch.export.export(model, (x,), strict=kind == "strict")
    return model


def bindings(module):
    return list(module["main"].body.blocks[0].bindings)


def paths(module):
    """Return (path, operator) of every call, in order."""
    return [
        (module_path(b.var), b.value.op.name.removeprefix("relax."))
        for b in bindings(module)
        if isinstance(b.value, relax.Call)
    ]


@pytest.mark.parametrize("kind", ["module", "exported", "strict", "dynamic"])
def test_innermost_module_names_all_its_operators(kind):
    module, _ = from_pytorch(capture(Net().eval(), kind), [("data", SHAPE)])
    elu = ("nn.relu", "minimum", "exp", "subtract", "multiply", "add")
    block = [
        *(("layer1.0.conv1", name) for name in CONV),
        ("layer1.0.bn", "nn.batch_norm"),
        *(("layer1.0.act", name) for name in elu),
        ("layer1.0", "add"),
    ]
    assert paths(module)[: 2 * len(block) + 5] == [
        *block,
        *block,
        ("", "reshape"),
        *(("fc", name) for name in LINEAR),
    ]


@pytest.mark.parametrize("kind", ["module", "traced"])
def test_operator_outside_every_module_takes_the_name_of_its_weight(kind):
    module, _ = from_pytorch(capture(Net().eval(), kind), [("data", SHAPE)])
    functional = [("fc", "strided_slice"), ("fc", "permute_dims"), ("fc", "matmul"), ("", "add")]
    assert paths(module)[-4:] == functional


def test_traced_module_names_the_operators_with_weights():
    module, _ = from_pytorch(capture(Net().eval(), "traced"), [("data", SHAPE)])
    block = [*(("layer1.0.conv1", name) for name in CONV), ("layer1.0.bn", "nn.batch_norm")]
    named = [item for item in paths(module) if item[0]]
    assert named[:12] == [*block, *block, *(("fc", name) for name in LINEAR)]


@pytest.mark.parametrize("kind", ["module", "traced", "exported"])
def test_model_that_is_a_single_layer_has_no_path(kind):
    model = capture(nn.Conv2d(3, 4, 3), kind)
    module, _ = from_pytorch(model, [("data", SHAPE)])
    assert paths(module) == [("", name) for name in CONV]
    assert [b.var.name for b in bindings(module)] == ["lv", "lv1", "gv"]


@pytest.mark.parametrize("kind", ["module", "exported"])
def test_result_keeps_the_path_of_its_module(kind):
    module, _ = from_pytorch(capture(nn.Sequential(nn.ReLU()), kind), [("data", SHAPE)])
    assert paths(module) == [("0", "nn.relu")]
    assert type(bindings(module)[-1].var) is relax.Var  # an output of the block, not inside it


def test_paths_survive_binding_and_folding():
    module, params = from_pytorch(Net().eval(), [("data", SHAPE)])
    folded = relax.transform.FoldConstant()(bind_params(module, params))
    of_constants = {"reshape", "permute_dims", "strided_slice"}
    kept = [(p, name) for p, name in paths(module) if p == "" or name not in of_constants]
    assert paths(folded) == kept


# Names that Python, TVMScript or Relax's builders use for something else.
AWKWARD = ["0", "class", "None", "R", "T", "I", "main", "data", "lv", "lv1", "gv", "self", "a b"]


def test_text_of_a_module_parses_back_whatever_the_paths_are():
    model, inner = nn.Sequential(), nn.Sequential()
    for name in AWKWARD:
        inner.add_module(name, nn.Hardtanh())
    model.add_module("features", nn.Sequential(nn.Conv2d(3, 3, 1), inner))
    for name in AWKWARD:
        model.add_module(name, nn.Hardtanh())
    module, params = from_pytorch(model, [("data", SHAPE)])
    nested = [("features.0", name) for name in CONV]
    nested += [(f"features.1.{name}", "clip") for name in AWKWARD]
    assert paths(module) == nested + [(name, "clip") for name in AWKWARD]
    for shown in (module, bind_params(module, params)):
        again = tvm.script.from_source(shown.script(show_meta=True))
        tvm.ir.assert_structural_equal(again, shown)


def test_names_are_the_paths_unless_they_would_not_print():
    assert path_to_name("layer1.0.conv1") == "layer1.0.conv1"
    assert path_to_name("class.0") == "class.0"  # prints as class_0, which is no keyword
    assert [path_to_name(path) for path in ("0", "3.relu")] == [".0", ".3.relu"]
    for path in [*AWKWARD, *keyword.kwlist]:
        variable = relax.Var(path_to_name(path), relax.TensorType((2,), "float32"))
        assert module_path(variable) == path


def test_parameters_are_named_as_before():
    model = nn.Sequential(nn.Linear(4, 2))
    module, params = from_pytorch(model, [("x", (3, 4))])
    assert [v.name for v in module["main"].params] == ["x", "0.weight", "0.bias"]
    np.testing.assert_array_equal(params["0.bias"].numpy(), model[0].bias.detach().numpy())
