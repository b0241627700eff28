"""MobileNetV3: Howard et al. (2019), arXiv:1905.02244."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import nn

from ._blocks import SqueezeExcite, conv_norm, round_channels

__all__ = ["MobileNetV3", "mobilenet_v3_large", "mobilenet_v3_small"]

_conv_norm = functools.partial(conv_norm, eps=1e-3)

# kernel, channels inside, channels out, squeeze-excite, activation, stride (tables 1 and 2)
_Row = tuple[int, int, int, bool, type[nn.Module], int]
_LARGE: tuple[_Row, ...] = (
    (3, 16, 16, False, nn.ReLU, 1),
    (3, 64, 24, False, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 1),
    (5, 72, 40, True, nn.ReLU, 2),
    (5, 120, 40, True, nn.ReLU, 1),
    (5, 120, 40, True, nn.ReLU, 1),
    (3, 240, 80, False, nn.Hardswish, 2),
    (3, 200, 80, False, nn.Hardswish, 1),
    (3, 184, 80, False, nn.Hardswish, 1),
    (3, 184, 80, False, nn.Hardswish, 1),
    (3, 480, 112, True, nn.Hardswish, 1),
    (3, 672, 112, True, nn.Hardswish, 1),
    (5, 672, 160, True, nn.Hardswish, 2),
    (5, 960, 160, True, nn.Hardswish, 1),
    (5, 960, 160, True, nn.Hardswish, 1),
)
_SMALL: tuple[_Row, ...] = (
    (3, 16, 16, True, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 2),
    (3, 88, 24, False, nn.ReLU, 1),
    (5, 96, 40, True, nn.Hardswish, 2),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 120, 48, True, nn.Hardswish, 1),
    (5, 144, 48, True, nn.Hardswish, 1),
    (5, 288, 96, True, nn.Hardswish, 2),
    (5, 576, 96, True, nn.Hardswish, 1),
    (5, 576, 96, True, nn.Hardswish, 1),
)


class InvertedResidual(nn.Module):
    """The block of MobileNetV2, with a squeeze-excite before the last convolution."""

    def __init__(self, inputs: int, row: _Row, width: float):
        super().__init__()
        kernel, inside, outputs, excite, activation, stride = row
        hidden, outputs = round_channels(inside * width), round_channels(outputs * width)
        layers = []
        if hidden != inputs:
            layers.append(_conv_norm(inputs, hidden, 1, activation=activation))
        depthwise = _conv_norm(hidden, hidden, kernel, stride, hidden, activation)
        layers.append(depthwise)
        if excite:
            squeezed = round_channels(hidden / 4)
            layers.append(SqueezeExcite(hidden, squeezed, nn.ReLU, nn.Hardsigmoid))
        layers.append(_conv_norm(hidden, outputs, 1, activation=None))
        self.block = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs
        self.outputs = outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return x + self.block(x) if self.residual else self.block(x)


class MobileNetV3(nn.Module):
    """A stem, inverted residuals, a 1x1 convolution, global pooling, two linear layers.

    Parameters
    ----------
    rows : sequence of tuple
        Kernel, channels inside, channels out, squeeze-excite, activation, stride of each block.
    head : int
        Size of the layer before the last.
    width : float, optional
        Multiplies every number of channels.
    num_classes : int, optional
    """

    def __init__(
        self, rows: Sequence[_Row], head: int, width: float = 1.0, num_classes: int = 1000
    ):
        super().__init__()
        channels = round_channels(16 * width)
        layers: list[nn.Module] = [_conv_norm(3, channels, 3, 2, activation=nn.Hardswish)]
        for row in rows:
            layers.append(InvertedResidual(channels, row, width))
            channels = layers[-1].outputs
        last = 6 * channels
        layers.append(_conv_norm(channels, last, 1, activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        hidden = round_channels(head * width)
        self.classifier = nn.Sequential(
            nn.Linear(last, hidden),
            nn.Hardswish(),
            nn.Dropout(0.2),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 images (N, 3, H, W) to scores (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def mobilenet_v3_large(width: float = 1.0, num_classes: int = 1000) -> MobileNetV3:
    """Return a MobileNetV3-Large; the parameters are those of `MobileNetV3`.

    Examples
    --------
    >>> from tvm_book.testing.models import mobilenet_v3_large
    >>> sum(p.numel() for p in mobilenet_v3_large().parameters())
    5483032
    """
    return MobileNetV3(_LARGE, 1280, width, num_classes)


def mobilenet_v3_small(width: float = 1.0, num_classes: int = 1000) -> MobileNetV3:
    """Return a MobileNetV3-Small; the parameters are those of `MobileNetV3`.

    Examples
    --------
    >>> from tvm_book.testing.models import mobilenet_v3_small
    >>> sum(p.numel() for p in mobilenet_v3_small().parameters())
    2542856
    """
    return MobileNetV3(_SMALL, 1024, width, num_classes)
