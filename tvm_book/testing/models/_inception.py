"""Inception v3: Szegedy et al. (2016), arXiv:1512.00567, without its auxiliary classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ._inception_blocks import (
    BasicConv2d,
    InceptionA,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)

__all__ = ["InceptionV3", "inception_v3"]

_POOLED = (32, 64, 64)  # channels of the pool branch of each module A
_INSIDE = (128, 160, 160, 192)  # channels between the 1x7 convolutions of each module C


class InceptionV3(nn.Module):
    """A stem, three groups of Inception modules, global average pooling, a linear layer.

    Parameters
    ----------
    width : float, optional
        Multiplies every number of channels.
    num_classes : int, optional
    depths : sequence of int, optional
        Number of modules A, C and E: at most three, four and two.
    """

    def __init__(
        self, width: float = 1.0, num_classes: int = 1000, depths: Sequence[int] = (3, 4, 2)
    ):
        super().__init__()
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32 * width, 3, stride=2)
        self.Conv2d_2a_3x3 = BasicConv2d(self.Conv2d_1a_3x3.outputs, 32 * width, 3)
        self.Conv2d_2b_3x3 = BasicConv2d(self.Conv2d_2a_3x3.outputs, 64 * width, 3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = BasicConv2d(self.Conv2d_2b_3x3.outputs, 80 * width, 1)
        self.Conv2d_4a_3x3 = BasicConv2d(self.Conv2d_3b_1x1.outputs, 192 * width, 3)
        self.maxpool2 = nn.MaxPool2d(3, 2)
        channels = self.Conv2d_4a_3x3.outputs
        kinds = [
            *((f"Mixed_5{'bcd'[i]}", InceptionA, [_POOLED[i]]) for i in range(depths[0])),
            ("Mixed_6a", InceptionB, []),
            *((f"Mixed_6{'bcde'[i]}", InceptionC, [_INSIDE[i]]) for i in range(depths[1])),
            ("Mixed_7a", InceptionD, []),
            *((f"Mixed_7{'bc'[i]}", InceptionE, []) for i in range(depths[2])),
        ]
        self._mixed = [name for name, _, _ in kinds]
        for name, kind, options in kinds:
            module = kind(channels, width, *options)
            self.add_module(name, module)
            channels = module.outputs
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout()
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 images (N, 3, H, W), of at least 75 x 75, to scores (N, num_classes)."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))
        x = self.maxpool2(x)
        for name in self._mixed:
            x = getattr(self, name)(x)
        return self.fc(self.dropout(self.avgpool(x).flatten(1)))


def inception_v3(
    width: float = 1.0, num_classes: int = 1000, depths: Sequence[int] = (3, 4, 2)
) -> InceptionV3:
    """Return an Inception v3; the parameters are those of the class.

    Examples
    --------
    >>> from tvm_book.testing.models import inception_v3
    >>> sum(p.numel() for p in inception_v3(width=0.25, depths=(1, 1, 1)).parameters())
    1112672
    """
    return InceptionV3(width, num_classes, depths)
