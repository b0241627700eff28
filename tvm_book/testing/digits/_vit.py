"""A small vision transformer, after Dosovitskiy et al. (2021), arXiv:2010.11929."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["VisionTransformer"]


class Attention(nn.Module):
    """Multi-head attention, written as matrix products so that a quantizer sees each of them."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 (N, tokens, width) to the same shape."""
        batch, tokens, width = x.shape
        size = width // self.heads
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, size).permute(2, 0, 3, 1, 4)
        query, key, value = qkv[0], qkv[1], qkv[2]
        weights = torch.softmax((query * size**-0.5) @ key.transpose(-2, -1), dim=-1)
        return self.proj((weights @ value).transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        hidden = 2 * width
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 (N, tokens, width) to the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Two convolutions make 16 tokens; then two blocks, the mean over the tokens, a linear layer.

    Convolutions in front, after Xiao et al. (2021), arXiv:2106.14881: a thousand images are too few
    to learn from patches alone what neighbouring pixels are.
    """

    def __init__(self, width: int = 48, heads: int = 4, depth: int = 2):
        super().__init__()
        self.patch_embed = nn.Sequential(
            nn.Conv2d(1, 24, 3, padding=1, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Conv2d(24, width, 3, stride=2, padding=1),
        )
        self.pos_embed = nn.Parameter(0.5 * torch.randn(1, 16, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 images (N, 1, 8, 8) to scores (N, 10)."""
        tokens = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))
