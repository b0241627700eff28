"""Vision transformer: Dosovitskiy et al. (2021), arXiv:2010.11929.

Its size "tiny" is that of DeiT (Touvron et al. 2021, arXiv:2012.12877).
"""

from __future__ import annotations

import torch
from torch import nn

from ._transformer import Mlp, PatchEmbedding, attend

__all__ = ["VisionTransformer", "vit_tiny"]


class Attention(nn.Module):
    """Self-attention; one linear layer makes queries, keys and values."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape (N, tokens, width)."""
        return self.proj(attend(*self.qkv(x).chunk(3, -1), self.heads))


class Block(nn.Module):
    """Attention, then an MLP, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape (N, tokens, width)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Patches and a class token with positions, transformer blocks, a linear layer.

    Parameters
    ----------
    image_size, patch_size : int, optional
        Sides of the square image and of a patch, which has to divide the image.
    width, depth, heads : int, optional
        Size of a token, number of blocks, attention heads in each.
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
        width: int = 192,
        depth: int = 12,
        heads: int = 3,
        num_classes: int = 1000,
    ):
        super().__init__()
        self.patch_embed = PatchEmbedding(image_size, patch_size, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.patch_embed.patches + 1, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 images (N, 3, image_size, image_size) to scores (N, num_classes)."""
        patches = self.patch_embed(x)
        tokens = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), patches], 1)
        tokens = self.blocks(tokens + self.pos_embed)
        return self.head(self.norm(tokens)[:, 0])


def vit_tiny(
    image_size: int = 224,
    patch_size: int = 16,
    width: int = 192,
    depth: int = 12,
    heads: int = 3,
    num_classes: int = 1000,
) -> VisionTransformer:
    """Return a ViT-Ti/16; the parameters are those of `VisionTransformer`.

    Examples
    --------
    >>> from tvm_book.testing.models import vit_tiny
    >>> sum(p.numel() for p in vit_tiny().parameters())
    5717416
    """
    return VisionTransformer(image_size, patch_size, width, depth, heads, num_classes)
