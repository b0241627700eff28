"""Every operator that the importer converts gives what torch gives, also for unusual arguments."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import tvm
from torch import nn
from tvm import relax

from tvm_book.frontend import _torch_simplify, from_pytorch
from tvm_book.frontend._torch_elementwise import ELEMENTWISE
from tvm_book.frontend._torch_images import IMAGES
from tvm_book.frontend._torch_layers import LAYERS
from tvm_book.frontend._torch_live import constant_scalars, live_calls
from tvm_book.frontend._torch_simplify import simplify
from tvm_book.frontend._torch_stock import STOCK

# What torch warns about when a test itself calls it.
pytestmark = pytest.mark.filterwarnings(
    *(f"ignore::{kind}" for kind in ("FutureWarning", "DeprecationWarning", "UserWarning")),
    "ignore::torch.jit.TracerWarning",
)


def image():
    return torch.randn(2, 4, 9, 8)  # an odd height makes rounding in pools visible


def sequence():
    return torch.randn(2, 4, 9)


def matrix():
    return torch.randn(3, 5) * 2


def positive():
    return torch.rand(3, 5) * 0.9 + 0.05


def integers():
    return torch.randint(0, 5, (2, 3))


def signs():
    return torch.randint(-4, 5, (2, 3))


def norm(layer):
    for tensor in layer.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 2)
    return layer


MASK = torch.tensor([[True, False, True, True], [False] * 4, [True] * 4, [False, True] * 2])


def attention(x, **options):
    return F.scaled_dot_product_attention(x, x + 1, x[:, :, :5] - 1, **options)


def grouped_attention(x):
    few = x[:, ::2, None] * 0.5
    return F.scaled_dot_product_attention(x[:, :, None], few, few, enable_gqa=True)


def resized(x, factors, sizes, modes, corners=()):
    """Resize in every way; `corners` are the modes that know aligned corners."""
    for target in ({"scale_factor": f} for f in factors), ({"size": s} for s in sizes):
        for options in target:
            for mode in modes:
                yield F.interpolate(x, mode=mode, **options)
            for mode in corners:
                yield F.interpolate(x, mode=mode, align_corners=True, **options)


def average_pools(pool, x):
    """Pool in every way that an average pool can be asked for."""
    last = (None, 5) if pool is F.avg_pool2d else (None,)
    for stride, pad, ceil, count, divisor in itertools.product(
        (1, 2, 3), (0, 1), (False, True), (False, True), last
    ):
        options = {} if divisor is None else {"divisor_override": divisor}
        yield pool(x, 3, stride, pad, ceil, count, **options)


def padded(x, amounts):
    for mode in ("constant", "reflect", "replicate", "circular"):
        yield F.pad(x, amounts, mode=mode)
    yield F.pad(x, (*amounts, -1, 2), value=2.5)


def write_into_view(x):
    y = x * 1
    y[:, 1:].add_(1)
    y[:, 0] = 0
    y[:, ::2].copy_(y[:, ::2] * 2)
    return y


def write_through_alias(x):
    y = x * 1
    z = y.view(-1).view(3, 5)
    y.add_(1)
    return y + z


TABLE = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 10.0]])
EDGES = torch.tensor([-0.5, 0.0, 0.5])
DOUBLE = torch.tensor(0.5, dtype=torch.float64)

GROUPS = {
    "convolutions": (
        image,
        [
            nn.Conv2d(4, 6, (3, 2), stride=2, padding=(1, 2), dilation=2),
            nn.Conv2d(4, 8, 3, groups=2),
            nn.Conv2d(4, 4, 3, groups=4, bias=False),
            nn.Conv2d(4, 6, 3, padding="same"),
            nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
            nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"),
            nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
            nn.ConvTranspose2d(4, 6, 3, groups=2, dilation=2, bias=False),
            nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), 1, (1, 2), groups=2, dilation=(1, 2)),
            lambda x: F.conv2d(x[0], x[:, :, :3, :3]),
        ],
    ),
    "pools": (
        image,
        [
            nn.MaxPool2d(3, 2, 1, ceil_mode=True),
            nn.MaxPool2d((3, 2), (1, 2)),
            nn.MaxPool2d(2, 2, dilation=2),
            nn.AvgPool2d(2, 3, 1, ceil_mode=True),
            lambda x: average_pools(F.avg_pool2d, x),
            nn.AdaptiveMaxPool2d((3, 4)),
            nn.AdaptiveMaxPool2d((1, None)),
            lambda x: F.adaptive_max_pool2d(x[0], 1),
            lambda x: F.adaptive_max_pool3d(x, (2, 3, 4)),
            lambda x: F.avg_pool3d(x, 2, 2, 1, ceil_mode=True, divisor_override=3),
            lambda x: F.max_pool2d(x[0], 2),
            lambda x: F.avg_pool2d(x[0], 2),
            nn.AdaptiveAvgPool2d(1),
            nn.AdaptiveAvgPool2d((2, None)),
            lambda x: F.adaptive_avg_pool3d(x, 2),
            lambda x: F.avg_pool3d(x[None], 2),
            lambda x: F.max_pool3d(x[None], 2),
        ],
    ),
    "images": (
        image,
        [
            norm(nn.BatchNorm2d(4, eps=0.1)),
            norm(nn.BatchNorm2d(4, affine=False)),
            nn.BatchNorm2d(4, track_running_stats=False),
            norm(nn.InstanceNorm2d(4, affine=True)),
            norm(nn.InstanceNorm2d(4, affine=True, track_running_stats=True)),
            norm(nn.GroupNorm(2, 4)),
            nn.GroupNorm(2, 4, affine=False),
            nn.PReLU(4),
            nn.PixelShuffle(2),
            nn.ChannelShuffle(2),
            nn.Upsample(scale_factor=1.7, recompute_scale_factor=True),
            lambda x: padded(x, (1, 2, 0, 3)),
            nn.ZeroPad2d((-1, 0, 0, -1)),
            nn.ReflectionPad2d(2),
            lambda x: F.pad(x.long(), (1, 2), value=3),
            lambda x: x[:, -1],
            lambda x: x[:, 1:3, ::2, -3:],
            lambda x: x[:, [-1, 0]],
            lambda x: x[[0, -1], [1, -2]],
            lambda x: x[:, :1].squeeze(1).unsqueeze(-1).expand(-1, -1, -1, 3),
            lambda x: x.repeat(1, 2, 1, 1),
            lambda x: x.roll(2, 1).flip(1, 2),
            lambda x: x.roll((1, -3), (2, -1)),
            lambda x: x.roll(5),
            lambda x: x.transpose(1, 2).contiguous().view(2, -1),
            lambda x: x.permute(0, 2, 3, 1).reshape(2, -1),
            lambda x: torch.diagonal(x, dim1=2, dim2=3),
            lambda x: x.split([1, 3], 1),
            lambda x: x.split(5, 2),
            lambda x: x.unbind(1),
            lambda x: torch.stack([x, x * 2], -1),
            lambda x: torch.cat(x.chunk(3, 2), 0),
            lambda x: x.flatten(),
            lambda x: x.flatten(2),
            lambda x: x.flatten(1, 2),
            lambda x: x.flatten(1, 1),
            lambda x: x.mean((2, 3)),
            lambda x: x.amax((2, 3)),
            lambda x: x.amin(1, keepdim=True),
            lambda x: x @ x.transpose(-1, -2),
        ],
    ),
    "resizing": (
        image,
        [
            lambda x: resized(
                x,
                factors=(2, 1.7, (0.6, 3)),
                sizes=((13, 5), (1, 3)),
                modes=("nearest", "nearest-exact", "bilinear", "bicubic", "area"),
                corners=("bilinear", "bicubic"),
            ),
            lambda x: resized(
                x[0],
                factors=(2, 1.7),
                sizes=(5, 1),
                modes=("nearest", "nearest-exact", "linear"),
                corners=("linear",),
            ),
            lambda x: resized(
                x[None],
                factors=(2, 1.3),
                sizes=((3, 5, 7),),
                modes=("nearest", "trilinear"),
                corners=("trilinear",),
            ),
        ],
    ),
    "sequences": (
        sequence,
        [
            nn.Conv1d(4, 6, 3, padding=1),
            nn.Conv1d(4, 6, 3, groups=2, stride=2),
            nn.ConvTranspose1d(4, 6, 3, stride=2),
            nn.ConvTranspose1d(4, 6, 3, 3, 1, 2, groups=2, dilation=2),
            nn.MaxPool1d(2),
            lambda x: average_pools(F.avg_pool1d, x),
            lambda x: F.avg_pool1d(x[0], 2),
            nn.AdaptiveAvgPool1d(3),
            nn.AdaptiveMaxPool1d(3),
            lambda x: padded(x, (3, 1)),
            norm(nn.InstanceNorm1d(4)),
            norm(nn.GroupNorm(2, 4)),
            norm(nn.BatchNorm1d(4)),
            norm(nn.LayerNorm((4, 9))),
            nn.LayerNorm(9, elementwise_affine=False),
            norm(nn.RMSNorm(9)),
            nn.Linear(9, 3),
            nn.LSTM(9, 3, bidirectional=True),
            attention,
            lambda x: attention(x, is_causal=True, scale=0.3),
            lambda x: attention(x, attn_mask=MASK),
            lambda x: attention(x, attn_mask=x[0, :, :4]),
            grouped_attention,
            nn.TransformerEncoderLayer(9, 3, 8, batch_first=True),
            lambda x: torch.bmm(x, x.transpose(1, 2)),
            lambda x: torch.baddbmm(x[:, :, :4], x, x.transpose(1, 2), beta=0.5, alpha=2),
            lambda x: torch.einsum("bij,bkj->bik", x, x),
            lambda x: torch.einsum("bij,jk->kbi", x, x[0].T),
            lambda x: torch.einsum("bij->ij", x),
            lambda x: x[0, 0] @ x[1].T,
        ],
    ),
    "activations": (
        matrix,
        [
            *(F.relu, F.relu6, F.hardtanh, F.hardswish, F.hardsigmoid, F.silu, F.mish, F.gelu),
            *(F.selu, F.leaky_relu, F.softplus, F.logsigmoid, F.hardshrink, F.tanhshrink),
            lambda x: F.gelu(x, approximate="tanh"),
            lambda x: F.elu(x * 30, 2.0),
            lambda x: F.celu(x, 0.5),
            lambda x: F.leaky_relu(x, 0.3),
            lambda x: x.softmax(0),
            lambda x: (x * 100).log_softmax(1),
            lambda x: F.glu(x[:, :4]),
        ],
    ),
    "functions": (
        matrix,
        [
            *(torch.abs, torch.asinh, torch.atan, torch.ceil, torch.cos, torch.cosh, torch.erf),
            *(torch.exp, torch.expm1, torch.floor, torch.isinf, torch.isnan, torch.isfinite),
            *(torch.neg, torch.reciprocal, torch.round, torch.sigmoid, torch.sign, torch.sin),
            *(torch.sinh, torch.square, torch.tan, torch.tanh, torch.trunc, torch.logical_not),
            lambda x: torch.round(torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5]) + x * 0),
            lambda x: torch.round(x, decimals=2),
            lambda x: torch.atan2(x, x.flip(1)),
            lambda x: torch.logaddexp(x, x.flip(1)),
            lambda x: torch.linalg.vector_norm(x, 3, dim=1),
            lambda x: x.norm(p=float("inf"), dim=1),
        ],
    ),
    "roots": (
        positive,
        [
            *(torch.acos, torch.asin, torch.atanh, torch.log, torch.log10, torch.log1p),
            *(torch.log2, torch.rsqrt, torch.sqrt),
            lambda x: torch.acosh(x + 1),
            lambda x: x**1.5,
            lambda x: x**-1,
            lambda x: 3.0**x,
            lambda x: x**x,
        ],
    ),
    "arithmetic": (
        matrix,
        [
            lambda x: torch.add(x, x.exp(), alpha=2),
            lambda x: torch.sub(x, x.exp(), alpha=3),
            lambda x: torch.rsub(x, x.exp(), alpha=2),
            lambda x: 1 - 2 * x / 3,
            lambda x: 1 / (x * x + 1),
            lambda x: x + torch.tensor([1, 2, 3, 4, 5]),
            lambda x: x * DOUBLE,
            lambda x: x < DOUBLE,
            lambda x: x // -0.3,
            lambda x: torch.div(x, 0.3, rounding_mode="floor"),
            lambda x: x % -0.3,
            lambda x: torch.remainder(x, x.flip(1)),
            lambda x: torch.fmod(x, -0.3),
            lambda x: torch.fmod(x, x.flip(1)),
            lambda x: torch.maximum(x, x.flip(1)) + torch.minimum(x, x.flip(1)),
            lambda x: x.clamp(min=0.1),
            lambda x: x.clamp(max=0.1),
            lambda x: x.clamp(-1, 1),
            lambda x: torch.clamp(x, x - 1, x.exp()),
            lambda x: (x > 0) & (x <= 1) | (x == x.flip(0)),
            lambda x: (x >= 0) ^ (x < x.flip(1)),
            lambda x: (x > x.flip(1)) & (x <= x.flip(0)),
            lambda x: ~(x != x.flip(0)),
            lambda x: (x > 0) * (x < 1),
            lambda x: (x > 0) + (x < -1),
            lambda x: torch.logical_or(x > 0, x < -1),
            lambda x: torch.logical_xor(x > 0, x < -1),
            lambda x: torch.where(x > 0, x, 0.0),
            lambda x: x.masked_fill(x > 0, -1.0),
            lambda x: x * x.sum().item(),
            lambda x: x.t().contiguous().detach(),
            write_into_view,
            write_through_alias,
        ],
    ),
    "reductions": (
        matrix,
        [
            lambda x: x.mean(),
            lambda x: x.sum(-1, keepdim=True),
            lambda x: x.std(1),
            lambda x: x.var(1, correction=0, keepdim=True),
            lambda x: x.var(),
            lambda x: torch.var_mean(x, 0),
            lambda x: torch.std_mean(x, (0, 1), keepdim=True),
            lambda x: x.prod(),
            lambda x: x.max(1),
            lambda x: x.max() - x.min(),
            lambda x: x.argmax(1),
            lambda x: x.argmin(1, keepdim=True),
            lambda x: x.median(-1),
            lambda x: x.cumsum(1),
            lambda x: x.cumprod(0),
            lambda x: x.topk(2, 1, largest=False),
            lambda x: x.sort(1, descending=True),
            lambda x: x.argsort(0),
            lambda x: (x > 0).any(1),
            lambda x: (x > -5).all(),
            lambda x: torch.bucketize(x, EDGES, right=True),
            lambda x: x.gather(1, x.argsort(1)),
            lambda x: x.tril(-1) + x.triu(1),
            lambda x: x + torch.arange(5) + torch.full((5,), 2.0) + torch.zeros_like(x),
            lambda x: torch.full_like(x, 3.0),
            lambda x: torch.empty_like(x).fill_(2.0) + x,
            lambda x: torch.zeros(3, 5).scatter(1, x.argsort(1)[:, :2], 1.0),
            lambda x: torch.zeros(3, 5).scatter(1, x.argsort(1)[:, :2], x[:, :2]),
            lambda x: (x.to(torch.int8), x.long(), x.bool(), x.double()),
        ],
    ),
    "integers": (
        integers,
        [
            lambda i: i * 2.5,
            lambda i: i / 2,
            lambda i: i // 2,
            lambda i: i + 1.5,
            lambda i: i > 2.5,
            lambda i: i.clamp(min=1),
            lambda i: i.float().mean(),
            lambda i: (i & 1) + (i | 1),
            lambda i: F.one_hot(i, 5),
            lambda i: F.embedding(i, TABLE),
            lambda i: TABLE[i - 5],
            lambda i: TABLE.index_select(0, i[0]),
        ],
    ),
    "signs": (
        signs,
        [
            lambda i: i // 2,
            lambda i: i % 3,
            lambda i: torch.fmod(i, 2),
            lambda i: torch.sign(i) * i.abs(),
            lambda i: F.relu(i),
            lambda i: i.sum(1),
        ],
    ),
}

# Programs that somebody decomposed before have other forms of these.
DECOMPOSED = (
    image,
    [
        norm(nn.GroupNorm(2, 4)),
        norm(nn.LayerNorm(8)),
        lambda x: padded(x, (1, 2, 0, 3)),
        F.hardswish,
        lambda x: F.scaled_dot_product_attention(x, x, x),
        nn.Linear(8, 3),
        nn.MaxPool2d(2),
        lambda x: F.max_pool3d(x[None], 2),
        nn.AdaptiveAvgPool2d((2, None)),
        lambda x: x @ x.transpose(-1, -2),
        lambda x: torch.addmm(x[0, 0, :, :1], x[0, 0], x[0, 1].T, beta=2, alpha=0.5),
        lambda x: x[0, 0] @ x[0, 1].T,
    ],
)

# Traced modules have other forms of these.
TRACED = (
    image,
    [
        nn.Upsample(scale_factor=2),
        nn.Upsample(size=(13, 5)),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Upsample(size=(5, 13), mode="bicubic", align_corners=True),
        lambda x: x / (x.shape[1] // 2) ** 0.5,
        nn.Upsample(scale_factor=1.7),
        nn.Upsample(scale_factor=1.7, mode="bilinear"),
        nn.AdaptiveMaxPool2d((3, 2)),
        nn.AvgPool2d(3, 2, divisor_override=5),
        nn.ReflectionPad2d(2),
        F.hardswish,
        lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    ],
)

ALL = {**GROUPS, "decomposed": DECOMPOSED, "traced": TRACED}


class Many(nn.Module):
    """Calls many functions on one input, so that many operators need one compilation only."""

    def __init__(self, functions):
        super().__init__()
        self.functions = functions
        self.layers = nn.ModuleList(f for f in functions if isinstance(f, nn.Module))

    def forward(self, x):
        return tuple(_tensors(function(x) for function in self.functions))


def _tensors(results):
    for result in results:
        if isinstance(result, torch.Tensor):
            yield result
        else:
            yield from _tensors(result)


@functools.cache
def imported(group):
    """Import one group, once; also say which operators were converted."""
    torch.manual_seed(0)
    inputs, functions = ALL[group]
    model, x = Many(functions).eval(), inputs()
    expected = model(x)
    if group == "decomposed":
        model = torch.export.export(model, (x,)).run_decompositions()
    if group == "traced":
        model = torch.jit.trace(model, x)
    operators = set()

    def simplify_and_note(captured):
        captured = simplify(captured)
        calls = live_calls(captured.program, constant_scalars(captured.program))
        operators.update(call.target.__name__ for call in calls)
        return captured

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_torch_simplify, "simplify", simplify_and_note)
        dtype = str(x.dtype).removeprefix("torch.")
        module, params = from_pytorch(model, [("x", (tuple(x.shape), dtype))])
    return module, params, x, expected, operators


def compare(module, params, x, expected):
    executable = tvm.compile(relax.transform.BindParams("main", params)(module), "llvm")
    results = relax.VirtualMachine(executable, tvm.cpu())["main"](tvm.runtime.tensor(x.numpy()))
    for position, (result, wanted) in enumerate(zip(results, expected, strict=True)):
        result, wanted = result.numpy(), wanted.detach().numpy()
        assert result.dtype == wanted.dtype and result.shape == wanted.shape, position
        if wanted.dtype.kind == "f":
            # The last bits of a sum or of exp differ between torch's kernels and LLVM's.
            scale = max(1.0, np.abs(wanted).max())
            np.testing.assert_allclose(
                result, wanted, rtol=0, atol=1e-5 * scale, err_msg=str(position)
            )
        else:
            np.testing.assert_array_equal(result, wanted, err_msg=str(position))


@pytest.mark.parametrize("group", ALL)
def test_operator_gives_what_torch_gives(group):
    module, params, x, expected, _ = imported(group)
    compare(module, params, x, expected)


def test_every_operator_of_the_tables_is_tried_here():
    tried = set().union(*(imported(group)[-1] for group in ALL))
    tables = LAYERS.keys() | IMAGES.keys() | ELEMENTWISE.keys() | STOCK
    assert sorted(tables - tried) == []
    assert sorted(tried - tables) == ["getitem"]
