"""U-Net: Ronneberger et al. (2015), arXiv:1505.04597, with batch norm and padded convolutions."""

from __future__ import annotations

import torch
from torch import nn

from ._blocks import conv_norm, round_channels

__all__ = ["UNet", "unet"]

_UP = ("transposed", "nearest", "bilinear")


class UpBlock(nn.Module):
    """Double the image, put the encoder's image of that size beside it, convolve twice."""

    def __init__(self, inputs: int, outputs: int, up: str):
        super().__init__()
        if up == "transposed":
            self.up = nn.ConvTranspose2d(inputs, outputs, 2, 2)
        else:
            upsample = nn.Upsample(scale_factor=2, mode=up)
            self.up = nn.Sequential(upsample, nn.Conv2d(inputs, outputs, 1))
        self.conv = nn.Sequential(conv_norm(2 * outputs, outputs), conv_norm(outputs, outputs))

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) and (N, outputs, 2 H, 2 W) to (N, outputs, 2 H, 2 W)."""
        return self.conv(torch.cat([skip, self.up(x)], 1))


class UNet(nn.Module):
    """An encoder and a decoder with connections between images of one size.

    Parameters
    ----------
    up : {"transposed", "nearest", "bilinear"}, optional
        How the decoder doubles an image: by a transposed convolution, as in the paper, or by
        interpolation and a 1x1 convolution.
    width : float, optional
        Multiplies every number of channels.
    num_classes : int, optional
        Number of scores per pixel.
    depth : int, optional
        How often the encoder halves the image, whose sizes have to be multiples of 2^depth.

    Raises
    ------
    ValueError
        `up` is none of the three.
    """

    def __init__(
        self, up: str = "transposed", width: float = 1.0, num_classes: int = 2, depth: int = 4
    ):
        super().__init__()
        if up not in _UP:
            raise ValueError(f"up must be one of {', '.join(_UP)}, not {up!r}")
        sizes = [round_channels(64 * width * 2**level) for level in range(depth + 1)]
        self.encoder = nn.ModuleList(
            nn.Sequential(conv_norm(inputs, outputs), conv_norm(outputs, outputs))
            for inputs, outputs in zip([3, *sizes], sizes, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.decoder = nn.ModuleList(
            UpBlock(sizes[level + 1], sizes[level], up) for level in reversed(range(depth))
        )
        self.head = nn.Conv2d(sizes[0], num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 images (N, 3, H, W) to scores (N, num_classes, H, W)."""
        skips = []
        for index, block in enumerate(self.encoder):
            x = block(self.pool(x) if index else x)
            skips.append(x)
        for block, skip in zip(self.decoder, reversed(skips[:-1]), strict=True):
            x = block(x, skip)
        return self.head(x)


def unet(up: str = "transposed", width: float = 1.0, num_classes: int = 2, depth: int = 4) -> UNet:
    """Return a U-Net; the parameters are those of the class.

    Examples
    --------
    >>> from tvm_book.testing.models import unet
    >>> sum(p.numel() for p in unet("bilinear", width=0.125).parameters())
    453922
    """
    return UNet(up, width, num_classes, depth)
