"""A small MobileNetV2: inverted residuals, after Sandler et al. (2018), arXiv:1801.04381."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["MobileNetV2"]


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
    """Return a convolution without bias that keeps the image's size, and its batch norm."""
    padding = kernel // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class InvertedResidual(nn.Module):
    """Widen by a 1x1 convolution, filter each channel by itself, narrow without activation."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, expansion: int = 4):
        super().__init__()
        hidden = inputs * expansion
        self.conv = nn.Sequential(
            *conv_bn(inputs, hidden, 1),
            nn.ReLU6(),
            *conv_bn(hidden, hidden, 3, stride, groups=hidden),
            nn.ReLU6(),
            *conv_bn(hidden, outputs, 1),
        )
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """A stem, five inverted residuals, a 1x1 convolution, global pooling, a linear layer."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(*conv_bn(1, 16, 3), nn.ReLU6()),
            InvertedResidual(16, 16),
            InvertedResidual(16, 24, stride=2),
            InvertedResidual(24, 24),
            InvertedResidual(24, 32, stride=2),
            InvertedResidual(32, 32),
            nn.Sequential(*conv_bn(32, 96, 1), nn.ReLU6()),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(96, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 images (N, 1, 8, 8) to scores (N, 10)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))
