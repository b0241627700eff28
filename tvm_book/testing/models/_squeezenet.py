"""SqueezeNet: Iandola et al. (2016), arXiv:1602.07360, in the authors' version 1.1."""

from __future__ import annotations

import torch
from torch import nn

from ._blocks import round_channels

__all__ = ["SqueezeNet", "squeezenet1_1"]

# channels of the squeeze and of each expand convolution; None is a pool
_FIRES = (None, (16, 64), (16, 64), None, (32, 128), (32, 128), None)
_FIRES += ((48, 192), (48, 192), (64, 256), (64, 256))


class Fire(nn.Module):
    """Narrow by a 1x1 convolution, widen by a 1x1 and a 3x3 convolution side by side."""

    def __init__(self, inputs: int, squeezed: int, expanded: int):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.squeeze_activation = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand1x1_activation = nn.ReLU()
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.expand3x3_activation = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, 2 * expanded, H, W)."""
        x = self.squeeze_activation(self.squeeze(x))
        one = self.expand1x1_activation(self.expand1x1(x))
        three = self.expand3x3_activation(self.expand3x3(x))
        return torch.cat([one, three], 1)


class SqueezeNet(nn.Module):
    """A stem, eight `Fire` modules between pools, a 1x1 convolution as classifier. No batch norm.

    Parameters
    ----------
    width : float, optional
        Multiplies every number of channels.
    num_classes : int, optional
    """

    def __init__(self, width: float = 1.0, num_classes: int = 1000):
        super().__init__()
        channels = round_channels(64 * width)
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, 2), nn.ReLU()]
        for sizes in _FIRES:
            if sizes is None:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            else:
                squeezed, expanded = (round_channels(size * width) for size in sizes)
                layers.append(Fire(channels, squeezed, expanded))
                channels = 2 * expanded
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(channels, num_classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(), last, nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 images (N, 3, H, W) to scores (N, num_classes)."""
        return self.classifier(self.features(x)).flatten(1)


def squeezenet1_1(width: float = 1.0, num_classes: int = 1000) -> SqueezeNet:
    """Return a SqueezeNet 1.1; the parameters are those of the class.

    Examples
    --------
    >>> from tvm_book.testing.models import squeezenet1_1
    >>> sum(p.numel() for p in squeezenet1_1().parameters())
    1235496
    """
    return SqueezeNet(width, num_classes)
