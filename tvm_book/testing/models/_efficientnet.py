"""EfficientNet: Tan and Le (2019), arXiv:1905.11946."""

from __future__ import annotations

import torch
from torch import nn

from ._blocks import SqueezeExcite, conv_norm, round_channels

__all__ = ["EfficientNet", "efficientnet_b0"]

# expansion, kernel, stride of the first, channels, number of blocks (table 1 of the paper)
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class MBConv(nn.Module):
    """The block of MobileNetV2 with SiLU, and a squeeze-excite before the last convolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        widen = [conv_norm(inputs, hidden, 1, activation=nn.SiLU)] if expansion > 1 else []
        self.block = nn.Sequential(
            *widen,
            conv_norm(hidden, hidden, kernel, stride, groups=hidden, activation=nn.SiLU),
            SqueezeExcite(hidden, max(1, inputs // 4), nn.SiLU, nn.Sigmoid),
            conv_norm(hidden, outputs, 1, activation=None),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return x + self.block(x) if self.residual else self.block(x)


class EfficientNet(nn.Module):
    """A stem, seven stages of `MBConv`, a 1x1 convolution, global pooling, a linear layer.

    Parameters
    ----------
    width : float, optional
        Multiplies every number of channels.
    num_classes : int, optional
    """

    def __init__(self, width: float = 1.0, num_classes: int = 1000):
        super().__init__()
        channels = round_channels(32 * width)
        stages: list[nn.Module] = [conv_norm(3, channels, 3, 2, activation=nn.SiLU)]
        for expansion, kernel, stride, outputs, count in _STAGES:
            size, blocks = round_channels(outputs * width), []
            for index in range(count):
                first = stride if index == 0 else 1
                blocks.append(MBConv(channels, size, kernel, first, expansion))
                channels = size
            stages.append(nn.Sequential(*blocks))
        stages.append(conv_norm(channels, 4 * channels, 1, activation=nn.SiLU))
        self.features = nn.Sequential(*stages)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(4 * channels, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 images (N, 3, H, W) to scores (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def efficientnet_b0(width: float = 1.0, num_classes: int = 1000) -> EfficientNet:
    """Return an EfficientNet-B0; the parameters are those of the class.

    Examples
    --------
    >>> from tvm_book.testing.models import efficientnet_b0
    >>> sum(p.numel() for p in efficientnet_b0().parameters())
    5288548
    """
    return EfficientNet(width, num_classes)
