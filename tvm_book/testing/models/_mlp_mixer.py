"""MLP-Mixer: Tolstikhin et al. (2021), arXiv:2105.01601."""

from __future__ import annotations

import torch
from torch import nn

from ._transformer import Mlp, PatchEmbedding

__all__ = ["MlpMixer", "mixer_s16"]


class MixerBlock(nn.Module):
    """Mix the patches of each channel, then the channels of each patch."""

    def __init__(self, width: int, patches: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.mlp_tokens = Mlp(patches, width // 2)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp_channels = Mlp(width, 4 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape (N, patches, width)."""
        x = x + self.mlp_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.mlp_channels(self.norm2(x))


class MlpMixer(nn.Module):
    """Patches as tokens, mixer blocks, the mean over patches, a linear layer.

    Parameters
    ----------
    image_size, patch_size : int, optional
        Sides of the square image and of a patch, which has to divide the image.
    width, depth : int, optional
        Size of a token, and number of blocks.
    num_classes : int, optional

    Raises
    ------
    ValueError
        `patch_size` does not divide `image_size`.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        width: int = 512,
        depth: int = 8,
        num_classes: int = 1000,
    ):
        super().__init__()
        self.stem = PatchEmbedding(image_size, patch_size, width)
        patches = self.stem.patches
        self.blocks = nn.Sequential(*(MixerBlock(width, patches) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 images (N, 3, image_size, image_size) to scores (N, num_classes)."""
        return self.head(self.norm(self.blocks(self.stem(x))).mean(1))


def mixer_s16(
    image_size: int = 224,
    patch_size: int = 16,
    width: int = 512,
    depth: int = 8,
    num_classes: int = 1000,
) -> MlpMixer:
    """Return the Mixer-S/16 of the paper; the parameters are those of `MlpMixer`.

    Examples
    --------
    >>> from tvm_book.testing.models import mixer_s16
    >>> sum(p.numel() for p in mixer_s16(image_size=32, patch_size=8).parameters())
    17494632
    """
    return MlpMixer(image_size, patch_size, width, depth, num_classes)
