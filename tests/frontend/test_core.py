"""Spelling operators without decomposing gives what decomposing gives, and knows its limits."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import tvm
from torch import nn
from tvm import relax

from tvm_book.frontend import _torch_core, _torch_simplify, _torch_to_relax, from_pytorch

SHAPE = (2, 4, 6, 6)


class Block(nn.Module):
    """A layer on a view of the input, and a function of its result and the input."""

    def __init__(self, function, layer, view):
        super().__init__()
        self.layer, self.function, self.view = layer, function, view

    def forward(self, x):
        return self.function(self.layer(x.view(self.view)), x)


def block(function=lambda y, x: y, layer=None, view=SHAPE):
    return functools.partial(Block, function, layer or nn.Conv2d(4, 4, 1), view)


def batch_norm():
    layer = nn.BatchNorm2d(4)
    for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
        nn.init.uniform_(tensor, 0.5, 2)
    return layer


LINE, VOLUME = (2, 4, 36), (2, 4, 1, 6, 6)
SPELLED = {
    "conv1d": block(layer=nn.Conv1d(4, 6, 3, 2, 1, groups=2), view=LINE),
    "conv2d": block(layer=nn.Conv2d(4, 6, (3, 2), 2, (1, 0), (1, 2))),
    "conv2d, groups": block(layer=nn.Conv2d(4, 8, 3, groups=4, bias=False)),
    "conv3d": block(layer=nn.Conv3d(4, 2, (1, 3, 3), padding=(0, 1, 1)), view=VOLUME),
    "conv_transpose1d": block(layer=nn.ConvTranspose1d(4, 2, 3), view=LINE),
    "conv_transpose2d": block(layer=nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2)),
    "conv_transpose3d": block(
        layer=nn.ConvTranspose3d(4, 2, (1, 2, 2), stride=(1, 2, 2)), view=VOLUME
    ),
    "batch_norm": block(layer=batch_norm()),
    "batch_norm without weights": block(layer=nn.BatchNorm2d(4, affine=False)),
    "dropout": block(lambda y, x: y + x, nn.Dropout()),
    "reshape": block(lambda y, x: y.permute(0, 2, 3, 1).reshape(2, -1, 4)),
    "reshape to the same": block(lambda y, x: y.reshape(SHAPE)),
    "transpose": block(lambda y, x: y.transpose(1, -1)),
    "chunk": block(lambda y, x: torch.cat(y.chunk(4, -1)[::-1], 1)),
    "uneven chunk": block(lambda y, x: y.chunk(4, 3)[2]),
    "softmax": block(lambda y, x: y.softmax(-1)),
    "silu": block(layer=nn.SiLU()),
    "attention": block(lambda y, x: F.scaled_dot_product_attention(y, x, x[..., :3])),
    "scaled attention": block(lambda y, x: F.scaled_dot_product_attention(y, x, x, scale=0.3)),
    "relu_": block(lambda y, x: F.relu(y, inplace=True)),
    "relu6": block(lambda y, x: F.relu6(y)),
    "relu6_": block(lambda y, x: F.relu6(y, inplace=True)),
    "hardtanh_": block(lambda y, x: F.hardtanh(y, -2, 3, inplace=True)),
    "hardswish_": block(lambda y, x: F.hardswish(y, inplace=True)),
    "hardsigmoid_": block(lambda y, x: F.hardsigmoid(y, inplace=True)),
    "leaky_relu_": block(lambda y, x: F.leaky_relu(y, 0.3, inplace=True)),
    "silu_": block(lambda y, x: F.silu(y, inplace=True)),
    "add_": block(lambda y, x: y.add_(x, alpha=2).relu_()),
    "overwritten and read": block(lambda y, x: y.relu_() + y),
    "add_ of itself": block(lambda y, x: y.add_(y)),
    "mul_": block(lambda y, x: y.mul_(2).mul_(x) + x, batch_norm()),
}


def overwritten_view(y, x):
    y[:, 0].mul_(2)
    return y


def overwritten_part(y, x):
    part = y.transpose(1, 2)
    return part.add_(1) * y.transpose(1, 2)


def overwritten_source(y, x):
    z = y.view(-1)
    y.mul_(3)
    return z


DECOMPOSED = {
    "no batch": block(lambda y, x: F.conv2d(y[0], torch.ones(2, 4, 3, 3))),
    "batch statistics": block(layer=nn.BatchNorm2d(4, track_running_stats=False)),
    "another dtype": block(lambda y, x: y.softmax(-1, dtype=torch.float64)),
    "causal attention": block(lambda y, x: F.scaled_dot_product_attention(y, x, x, is_causal=True)),
    "masked attention": block(lambda y, x: F.scaled_dot_product_attention(y, x, x, x)),
    "attention of groups": block(
        lambda y, x: F.scaled_dot_product_attention(y, x[:, :2], x[:, :2], enable_gqa=True)
    ),
    "no row": block(lambda y, x: y.logsumexp(1)),
    "overwritten in part": block(overwritten_view),
    "overwritten through a view": block(overwritten_part),
    "overwritten under a view": block(overwritten_source),
    "overwritten in its own dtype": block(lambda y, x: y.add_((x > 0).double() / 3)),
}
CASES = SPELLED | DECOMPOSED


def make(case):
    torch.manual_seed(0)
    return CASES[case]().eval()


def imported(model, spell=None):
    """Import a model; also return whether it was spelled, and the operators it had before."""
    seen = {}

    def note(graph):
        seen["targets"] = {node.target for node in graph.nodes}
        seen["spelled"] = (spell or _torch_core.spell_core)(graph)
        return seen["spelled"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_torch_simplify, "spell_core", note)
        module, params = from_pytorch(model, [("data", SHAPE)])
    return module, params, seen


def names(module):
    return [binding.var.name for binding in module["main"].body.blocks[0].bindings]


@pytest.mark.parametrize("case", CASES)
def test_gives_what_decomposing_gives(case):
    module, params, seen = imported(make(case))
    expected, expected_params, _ = imported(make(case), lambda graph: False)
    assert seen["spelled"] == (case in SPELLED)
    tvm.ir.assert_structural_equal(module, expected)
    assert names(module) == names(expected)
    assert list(params) == list(expected_params)


OVERWRITING = [case for case in CASES if "_" in case or "overwritten" in case]


@pytest.mark.parametrize("case", OVERWRITING)
def test_overwriting_gives_what_torch_gives(case):
    model, x = make(case), torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    module, params, _ = imported(model)
    bound = relax.transform.BindParams("main", params)(module)
    machine = relax.VirtualMachine(tvm.compile(bound, "llvm"), tvm.cpu())
    result = machine["main"](tvm.runtime.tensor(x.numpy())).numpy()
    with torch.no_grad():
        expected = model(x.clone()).numpy()
    # float32: sums of a few products of numbers near 1
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_every_row_has_a_case():
    found = set().union(*(imported(make(case))[-1]["targets"] for case in SPELLED))
    rows = _torch_core._SPELLINGS.keys() | _torch_core._FUNCTIONAL.keys()
    assert rows - found == set()


def test_operators_with_a_conversion_are_left_alone_by_decompositions():
    known = _torch_to_relax._CONVERTERS.keys() | _torch_to_relax.STOCK
    decomposed = _torch_simplify._decompositions()
    names = {each.__name__ for each in decomposed if each.namespace == "aten"}
    assert known & names == set()
