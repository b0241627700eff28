"""DenseNet: Huang et al. (2017), arXiv:1608.06993."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["DenseNet", "densenet121"]

_BOTTLENECK = 4  # times the growth rate, inside a layer


class DenseLayer(nn.Module):
    """Make `growth` new channels of all channels before: twice batch norm, ReLU, convolution."""

    def __init__(self, inputs: int, growth: int):
        super().__init__()
        hidden = _BOTTLENECK * growth
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, hidden, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(hidden, growth, 3, padding=1, bias=False)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Map (N, C, H, W) tensors to one of (N, growth, H, W)."""
        x = self.conv1(self.relu1(self.norm1(torch.cat(features, 1))))
        return self.conv2(self.relu2(self.norm2(x)))


class DenseBlock(nn.ModuleDict):
    """Layers of which each sees the results of all before it."""

    def __init__(self, inputs: int, growth: int, depth: int):
        super().__init__()
        for index in range(depth):
            self[f"denselayer{index + 1}"] = DenseLayer(inputs + index * growth, growth)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, inputs + depth * growth, H, W)."""
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


class Transition(nn.Sequential):
    """Halve the channels by a 1x1 convolution, and the image by an average pool."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.pool = nn.AvgPool2d(2, 2)


class DenseNet(nn.Module):
    """A 7x7 stem, dense blocks with transitions between them, global pooling, a linear layer.

    Parameters
    ----------
    depths : sequence of int
        Number of layers in each dense block.
    growth : int, optional
        Channels that a layer adds; the stem has twice as many.
    num_classes : int, optional
    """

    def __init__(self, depths: Sequence[int], growth: int = 32, num_classes: int = 1000):
        super().__init__()
        channels = 2 * growth
        self.features = nn.Sequential()
        self.features.conv0 = nn.Conv2d(3, channels, 7, 2, padding=3, bias=False)
        self.features.norm0 = nn.BatchNorm2d(channels)
        self.features.relu0 = nn.ReLU()
        self.features.pool0 = nn.MaxPool2d(3, 2, padding=1)
        for index, depth in enumerate(depths, start=1):
            if index > 1:
                transition = Transition(channels, channels // 2)
                self.features.add_module(f"transition{index - 1}", transition)
                channels //= 2
            self.features.add_module(f"denseblock{index}", DenseBlock(channels, growth, depth))
            channels += growth * depth
        self.features.norm5 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 images (N, 3, H, W) to scores (N, num_classes)."""
        return self.classifier(self.avgpool(self.relu(self.features(x))).flatten(1))


def densenet121(
    growth: int = 32, num_classes: int = 1000, depths: Sequence[int] = (6, 12, 24, 16)
) -> DenseNet:
    """Return a DenseNet-121; the parameters are those of `DenseNet`.

    Examples
    --------
    >>> from tvm_book.testing.models import densenet121
    >>> sum(p.numel() for p in densenet121(growth=16, depths=(3, 4, 5, 4)).parameters())
    381364
    """
    return DenseNet(depths, growth, num_classes)
