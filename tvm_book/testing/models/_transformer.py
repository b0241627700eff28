"""Parts that the networks on tokens share."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class PatchEmbedding(nn.Module):
    """Cut an image into square patches and map each to a token."""

    def __init__(self, image_size: int, patch_size: int, width: int):
        super().__init__()
        if image_size % patch_size:
            raise ValueError(
                f"patch_size {patch_size} does not divide image_size {image_size}: choose sizes "
                "such as 16 and 224"
            )
        self.patches = (image_size // patch_size) ** 2
        self.proj = nn.Conv2d(3, width, patch_size, patch_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, image_size, image_size) to (N, patches, width)."""
        return self.proj(x).flatten(2).transpose(1, 2)


class Mlp(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape (..., width)."""
        return self.fc2(self.act(self.fc1(x)))


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
    """Attention of several heads; all tensors have the shape (N, tokens, width)."""
    count, tokens, width = query.shape
    split = [
        x.view(count, tokens, heads, width // heads).transpose(1, 2) for x in (query, key, value)
    ]
    mixed = functional.scaled_dot_product_attention(*split)
    return mixed.transpose(1, 2).reshape(count, tokens, width)
