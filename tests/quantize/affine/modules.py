"""Small torch modules, one for each way in which tensors of a network meet."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["IMAGE", "MODULES", "SEQUENCE"]

IMAGE, SEQUENCE = (2, 8, 9, 9), (2, 6, 16)


def conv(inputs=8, outputs=8, kernel=3, **options):
    options.setdefault("padding", kernel // 2)
    return nn.Conv2d(inputs, outputs, kernel, **options)


class Function(nn.Module):
    """A module made of layers and a function of them and of the input."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def behind_conv(function, **layers):
    """Apply a function between two convolutions."""
    layers.setdefault("last", conv())
    return Function(lambda m, x: m.last(function(m, m.first(x))), first=conv(), **layers)


def activation(layer):
    return nn.Sequential(conv(), layer, conv())


def residual(m, x):
    x = F.relu(m.first(x))
    return F.relu(m.norm2(m.conv2(F.relu(m.norm1(m.conv1(x))))) + x)


def downsample(m, x):
    x = F.relu(m.first(x))
    return F.relu(m.conv2(F.relu(m.conv1(x))) + m.norm(m.short(x)))


def squeeze_excite(m, x):
    x = F.silu(m.first(x))
    gate = torch.sigmoid(m.grow(F.relu(m.shrink(F.adaptive_avg_pool2d(x, 1)))))
    return m.last(x * gate)


def joined(m, x):
    a = F.relu(m.first(x))
    return m.last(torch.cat([a, m.left(a), m.right(a)], 1))


def chunk_gate(m, x):
    a, b = m.wide(x).chunk(2, 1)
    return m.last(a * torch.sigmoid(b))


def attention(m, x):
    q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in m.qkv(x).chunk(3, -1))
    weights = torch.softmax(q @ k.transpose(-1, -2) / 8**0.5, -1)
    return m.out((weights @ v).transpose(1, 2).flatten(2))


def lstm_cell(m, x):
    h, c = torch.zeros(2, 16), torch.zeros(2, 16)
    for t in range(2):
        i, f, g, o = (m.data(x[:, t]) + m.state(h)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return m.last(h)


def two_outputs(m, x):
    a = F.relu(m.first(x))
    return m.last(a), F.max_pool2d(a, 2)


def numbers(*shape):
    return torch.linspace(0.5, 2.0, 8).reshape(shape)


CHANNELS = numbers(1, 8, 1, 1)


def _modules():
    linear, norm = nn.Linear, nn.BatchNorm2d
    yield (
        "residual",
        Function(residual, first=conv(), conv1=conv(), norm1=norm(8), conv2=conv(), norm2=norm(8)),
    )
    yield (
        "downsample",
        Function(
            downsample,
            first=conv(),
            conv1=conv(8, 16, stride=2),
            conv2=conv(16, 16),
            short=conv(8, 16, 1, stride=2, bias=False),
            norm=norm(16),
        ),
    )
    yield (
        "depthwise_relu6",
        nn.Sequential(
            conv(8, 24, 1), nn.ReLU6(), conv(24, 24, groups=24), nn.ReLU6(), conv(24, 8, 1)
        ),
    )
    yield "hardswish", activation(nn.Hardswish())
    yield "silu", activation(nn.SiLU())
    yield "gelu", activation(nn.GELU())
    yield "leaky_relu", activation(nn.LeakyReLU(0.1))
    yield "hardsigmoid", activation(nn.Hardsigmoid())
    yield (
        "squeeze_excite",
        Function(
            squeeze_excite, first=conv(), shrink=conv(8, 4, 1), grow=conv(4, 8, 1), last=conv()
        ),
    )
    yield (
        "concat",
        Function(joined, first=conv(), left=conv(), right=conv(kernel=1), last=conv(24, 8)),
    )
    yield (
        "concat_at_the_end",
        Function(
            lambda m, x: F.relu(torch.cat([m.left(x), m.right(x)], 1)), left=conv(), right=conv()
        ),
    )
    for include in (True, False):
        pool = nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=include)
        yield f"avg_pool_{'with' if include else 'without'}_border", activation(pool)
    yield "adaptive_avg_pool", nn.Sequential(conv(), nn.AdaptiveAvgPool2d(3), conv())
    yield "max_pool", nn.Sequential(conv(), nn.ReLU(), nn.MaxPool2d(3, 2, 1), conv())
    yield (
        "transposed",
        nn.Sequential(
            conv(), nn.ReLU(), nn.ConvTranspose2d(8, 8, 3, 2, 1, output_padding=1, groups=2), conv()
        ),
    )
    yield "nearest", activation(nn.Upsample(scale_factor=2, mode="nearest"))
    yield "bilinear", activation(nn.Upsample(scale_factor=2, mode="bilinear"))
    yield "chunk_gate", Function(chunk_gate, wide=conv(8, 16), last=conv())
    yield "sub_scalar", behind_conv(lambda m, x: F.relu(x) - 0.3)
    yield "sub_channel", behind_conv(lambda m, x: F.relu(x) - CHANNELS)
    yield "mul_scalar", behind_conv(lambda m, x: F.relu(x) * -1.7)
    yield "mul_channel", behind_conv(lambda m, x: F.relu(x) * CHANNELS)
    yield "div_scalar", behind_conv(lambda m, x: F.relu(x) / 3)
    yield "div_channel", behind_conv(lambda m, x: F.relu(x) / CHANNELS)
    yield "const_minus_x", behind_conv(lambda m, x: 1.5 - F.relu(x))
    yield "sub_tensors", behind_conv(lambda m, x: x - F.relu(m.other(x)), other=conv())
    yield (
        "pre_activation",
        Function(
            lambda m, x: m.last(F.relu(m.norm(m.first(x) + x))),
            first=conv(),
            norm=norm(8),
            last=conv(),
        ),
    )
    yield "pad_0", behind_conv(lambda m, x: F.pad(F.relu(x), (1, 0, 2, 1)))
    yield "pad_1", behind_conv(lambda m, x: F.pad(F.relu(x), (1, 0, 2, 1), value=0.5))
    yield "two_outputs", Function(two_outputs, first=conv(), last=conv())
    yield (
        "input_used_twice",
        Function(lambda m, x: m.last(m.first(x) + x * 0.5), first=conv(), last=conv()),
    )
    yield "attention", Function(attention, qkv=linear(16, 48), out=linear(16, 16))
    yield (
        "mlp_layer_norm",
        nn.Sequential(linear(16, 32), nn.GELU(), nn.LayerNorm(32), linear(32, 16)),
    )
    yield (
        "lstm_cell",
        Function(lstm_cell, data=linear(16, 64), state=linear(16, 64), last=linear(16, 8)),
    )


def _seeded(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            for tensor, low in ((child.running_var, 0.5), (child.weight, 0.5), (child.bias, -1)):
                with torch.no_grad():
                    tensor.uniform_(low, 1.5, generator=generator)
        elif hasattr(child, "reset_parameters") and getattr(child, "weight", None) is not None:
            if child.weight.ndim > 1:
                with torch.no_grad():
                    bound = child.weight[0].numel() ** -0.5
                    child.weight.uniform_(-2 * bound, 2 * bound, generator=generator)
                    if child.bias is not None:
                        child.bias.uniform_(-0.5, 0.5, generator=generator)
    return module.eval().requires_grad_(False)


MODULES = {name: _seeded(module) for name, module in _modules()}
"""Modules by name; those in ``SEQUENCES`` take `SEQUENCE`, the others `IMAGE`."""

SEQUENCES = ("attention", "mlp_layer_norm", "lstm_cell")
