"""ResNet: He et al. (2016), arXiv:1512.03385."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ._blocks import round_channels

__all__ = ["ResNet", "resnet18", "resnet50"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width * self.expansion, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, width, H / stride, W / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + identity)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 convolutions, beside a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1):
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, 4 * width, H / stride, W / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + identity)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module | None:
    if inputs == outputs and stride == 1:
        return None
    conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """A 7x7 stem, four stages of residual blocks, global average pooling, a linear layer.

    Parameters
    ----------
    block : type
        ``BasicBlock`` or ``Bottleneck``.
    depths : sequence of int
        Number of blocks in each stage.
    width : float, optional
        Multiplies every number of channels.
    num_classes : int, optional
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        width: float = 1.0,
        num_classes: int = 1000,
    ):
        super().__init__()
        channels = round_channels(64 * width)
        self.conv1 = nn.Conv2d(3, channels, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        for stage, depth in enumerate(depths):
            size = round_channels(64 * width * 2**stage)
            blocks = []
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(block(channels, size, stride))
                channels = size * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 images (N, 3, H, W) to scores (N, num_classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(width: float = 1.0, num_classes: int = 1000) -> ResNet:
    """Return a ResNet-18; the parameters are those of `ResNet`.

    Examples
    --------
    >>> from tvm_book.testing.models import resnet18
    >>> sum(p.numel() for p in resnet18(width=0.25, num_classes=10).parameters())
    703386
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), width, num_classes)


def resnet50(
    width: float = 1.0, num_classes: int = 1000, depths: Sequence[int] = (3, 4, 6, 3)
) -> ResNet:
    """Return a ResNet-50; the parameters are those of `ResNet`.

    Examples
    --------
    >>> from tvm_book.testing.models import resnet50
    >>> sum(p.numel() for p in resnet50(width=0.25, depths=(1, 1, 1, 1)).parameters())
    1019384
    """
    return ResNet(Bottleneck, depths, width, num_classes)
