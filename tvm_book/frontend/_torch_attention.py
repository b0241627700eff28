"""Scaled dot-product attention in few operators.

torch's own decomposition spreads the scale over both operands and, even without a mask, looks for
rows that are masked altogether.
"""

from __future__ import annotations

from typing import Any

import torch


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Return ``softmax(query @ key^T * scale + mask) @ value``.

    A decomposition for ``torch.export``: what it returns as NotImplemented is left to torch. Its
    parameters are those of ``torch.nn.functional.scaled_dot_product_attention``, whose
    documentation gives the formula (Vaswani et al., "Attention Is All You Need", equation 1).
    """
    if dropout_p > 0:
        return NotImplemented
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = torch.matmul(query, key.transpose(-2, -1)) * scale
    if is_causal:
        later = torch.arange(scores.shape[-1]) > torch.arange(scores.shape[-2]).unsqueeze(-1)
        scores = scores.masked_fill(later, float("-inf"))
    if attn_mask is None:
        weights = scores.softmax(-1)
    else:
        if attn_mask.dtype == torch.bool:
            scores = torch.where(attn_mask, scores, float("-inf"))
        else:
            scores = scores + attn_mask
        # where a mask leaves nothing in a row, torch gives zeros
        weights = torch.ops.aten._safe_softmax.default(scores, -1)
    return torch.matmul(weights, value)
