"""Parts that several convolutional networks share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

__all__ = ["SqueezeExcite", "conv_norm", "round_channels"]


def round_channels(channels: float, divisor: int = 8) -> int:
    """Return the multiple of `divisor` that is nearest to `channels`, but not below 90 % of it.

    The rule by which MobileNets of other widths get their channel counts (Sandler et al. 2018,
    arXiv:1801.04381, as their authors' code has it).
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int] = 3,
    stride: int = 1,
    groups: int = 1,
    activation: Callable[[], nn.Module] | None = nn.ReLU,
    eps: float = 1e-5,
) -> nn.Sequential:
    """Return convolution, batch norm and activation; an odd kernel keeps the image's size."""
    sizes = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = tuple(size // 2 for size in sizes)
    conv = nn.Conv2d(inputs, outputs, sizes, stride, padding, groups=groups, bias=False)
    layers = [conv, nn.BatchNorm2d(outputs, eps=eps)]
    return nn.Sequential(*layers, *([activation()] if activation else []))


class SqueezeExcite(nn.Module):
    """Scale every channel by a gate between 0 and 1 that its mean value decides.

    Hu et al. (2018), arXiv:1709.01507.
    """

    def __init__(
        self,
        channels: int,
        squeezed: int,
        activation: Callable[[], nn.Module],
        gate: Callable[[], nn.Module],
    ):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.activation = activation()
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.scale_activation = gate()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape (N, C, H, W)."""
        squeezed = self.activation(self.fc1(self.avgpool(x)))
        return x * self.scale_activation(self.fc2(squeezed))
