"""The five kinds of modules that :mod:`tvm_book.testing.models._inception` is built of.

The paper draws them in its figures 5, 10, 6, 10 and 7; the numbers of channels are those of its
authors' code.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ._blocks import round_channels


class BasicConv2d(nn.Module):
    """Convolution, batch norm, ReLU; `outputs` is rounded to a multiple of 8."""

    def __init__(
        self,
        inputs: int,
        outputs: float,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ):
        super().__init__()
        self.outputs = round_channels(outputs)
        self.conv = nn.Conv2d(inputs, self.outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(self.outputs, eps=1e-3)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H', W')."""
        return self.relu(self.bn(self.conv(x)))


def _mean(x: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(x, 3, 1, 1)


class InceptionA(nn.Module):
    """1x1, 5x5, two 3x3, and an average pool."""

    def __init__(self, inputs: int, width: float, pooled: int):
        super().__init__()
        self.branch1x1 = BasicConv2d(inputs, 64 * width, 1)
        self.branch5x5_1 = BasicConv2d(inputs, 48 * width, 1)
        self.branch5x5_2 = BasicConv2d(self.branch5x5_1.outputs, 64 * width, 5, padding=2)
        self.branch3x3dbl_1 = BasicConv2d(inputs, 64 * width, 1)
        self.branch3x3dbl_2 = BasicConv2d(self.branch3x3dbl_1.outputs, 96 * width, 3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(self.branch3x3dbl_2.outputs, 96 * width, 3, padding=1)
        self.branch_pool = BasicConv2d(inputs, pooled * width, 1)
        ends = (self.branch1x1, self.branch5x5_2, self.branch3x3dbl_3, self.branch_pool)
        self.outputs = sum(end.outputs for end in ends)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(_mean(x))], 1)


class InceptionB(nn.Module):
    """Halve the image by a 3x3, by two 3x3, and by a max pool."""

    def __init__(self, inputs: int, width: float):
        super().__init__()
        self.branch3x3 = BasicConv2d(inputs, 384 * width, 3, stride=2)
        self.branch3x3dbl_1 = BasicConv2d(inputs, 64 * width, 1)
        self.branch3x3dbl_2 = BasicConv2d(self.branch3x3dbl_1.outputs, 96 * width, 3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(self.branch3x3dbl_2.outputs, 96 * width, 3, stride=2)
        self.outputs = self.branch3x3.outputs + self.branch3x3dbl_3.outputs + inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, (H - 1) / 2, (W - 1) / 2)."""
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), three, functional.max_pool2d(x, 3, 2)], 1)


class InceptionC(nn.Module):
    """1x1, 7x7 and twice 7x7 in pieces of 1x7 and 7x1, and an average pool."""

    def __init__(self, inputs: int, width: float, inside: int):
        super().__init__()
        wide, high = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))
        inside, outputs = inside * width, 192 * width
        self.branch1x1 = BasicConv2d(inputs, outputs, 1)
        self.branch7x7_1 = BasicConv2d(inputs, inside, 1)
        between = self.branch7x7_1.outputs
        self.branch7x7_2 = BasicConv2d(between, inside, *wide)
        self.branch7x7_3 = BasicConv2d(between, outputs, *high)
        self.branch7x7dbl_1 = BasicConv2d(inputs, inside, 1)
        self.branch7x7dbl_2 = BasicConv2d(between, inside, *high)
        self.branch7x7dbl_3 = BasicConv2d(between, inside, *wide)
        self.branch7x7dbl_4 = BasicConv2d(between, inside, *high)
        self.branch7x7dbl_5 = BasicConv2d(between, outputs, *wide)
        self.branch_pool = BasicConv2d(inputs, outputs, 1)
        self.outputs = 4 * self.branch_pool.outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_mean(x))], 1)


class InceptionD(nn.Module):
    """Halve the image by a 3x3, by a 7x7 in pieces and a 3x3, and by a max pool."""

    def __init__(self, inputs: int, width: float):
        super().__init__()
        self.branch3x3_1 = BasicConv2d(inputs, 192 * width, 1)
        between = self.branch3x3_1.outputs
        self.branch3x3_2 = BasicConv2d(between, 320 * width, 3, stride=2)
        self.branch7x7x3_1 = BasicConv2d(inputs, 192 * width, 1)
        self.branch7x7x3_2 = BasicConv2d(between, 192 * width, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = BasicConv2d(between, 192 * width, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = BasicConv2d(between, 192 * width, 3, stride=2)
        self.outputs = self.branch3x3_2.outputs + self.branch7x7x3_4.outputs + inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, (H - 1) / 2, (W - 1) / 2)."""
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat([three, self.branch7x7x3_4(seven), functional.max_pool2d(x, 3, 2)], 1)


class InceptionE(nn.Module):
    """1x1, and 3x3 whose last step is a 1x3 beside a 3x1, and an average pool."""

    def __init__(self, inputs: int, width: float):
        super().__init__()
        wide, high = ((1, 3), 1, (0, 1)), ((3, 1), 1, (1, 0))
        self.branch1x1 = BasicConv2d(inputs, 320 * width, 1)
        self.branch3x3_1 = BasicConv2d(inputs, 384 * width, 1)
        between = self.branch3x3_1.outputs
        self.branch3x3_2a = BasicConv2d(between, 384 * width, *wide)
        self.branch3x3_2b = BasicConv2d(between, 384 * width, *high)
        self.branch3x3dbl_1 = BasicConv2d(inputs, 448 * width, 1)
        self.branch3x3dbl_2 = BasicConv2d(self.branch3x3dbl_1.outputs, 384 * width, 3, padding=1)
        self.branch3x3dbl_3a = BasicConv2d(between, 384 * width, *wide)
        self.branch3x3dbl_3b = BasicConv2d(between, 384 * width, *high)
        self.branch_pool = BasicConv2d(inputs, 192 * width, 1)
        self.outputs = self.branch1x1.outputs + 4 * between + self.branch_pool.outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        parts = [
            self.branch1x1(x),
            self.branch3x3_2a(three),
            self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(_mean(x)),
        ]
        return torch.cat(parts, 1)
