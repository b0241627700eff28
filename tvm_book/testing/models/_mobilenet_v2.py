"""MobileNetV2: Sandler et al. (2018), arXiv:1801.04381."""

from __future__ import annotations

import torch
from torch import nn

from ._blocks import conv_norm, round_channels

__all__ = ["MobileNetV2", "mobilenet_v2"]

# expansion, channels, number of blocks, stride of the first (table 2 of the paper)
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Widen by a 1x1 convolution, filter each channel by itself, narrow without activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        widen = [conv_norm(inputs, hidden, 1, activation=nn.ReLU6)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *widen,
            conv_norm(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6),
            *conv_norm(hidden, outputs, 1, activation=None),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """A stem, 17 inverted residuals, a 1x1 convolution, global pooling, a linear layer.

    Parameters
    ----------
    width : float, optional
        Multiplies every number of channels, but the last one only if it is above 1.
    num_classes : int, optional
    """

    def __init__(self, width: float = 1.0, num_classes: int = 1000):
        super().__init__()
        channels = round_channels(32 * width)
        layers: list[nn.Module] = [conv_norm(3, channels, 3, 2, activation=nn.ReLU6)]
        for expansion, outputs, count, stride in _STAGES:
            for index in range(count):
                size = round_channels(outputs * width)
                first = stride if index == 0 else 1
                layers.append(InvertedResidual(channels, size, first, expansion))
                channels = size
        last = round_channels(1280 * max(1.0, width))
        layers.append(conv_norm(channels, last, 1, activation=nn.ReLU6))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 images (N, 3, H, W) to scores (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def mobilenet_v2(width: float = 1.0, num_classes: int = 1000) -> MobileNetV2:
    """Return a MobileNetV2; the parameters are those of the class.

    Examples
    --------
    >>> from tvm_book.testing.models import mobilenet_v2
    >>> sum(p.numel() for p in mobilenet_v2().parameters())
    3504872
    """
    return MobileNetV2(width, num_classes)
