"""BERT: Devlin et al. (2019), arXiv:1810.04805; no masks, all tokens of the first segment.

The size "tiny" is that of Turc et al. (2019), arXiv:1908.08962.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ._transformer import attend

__all__ = ["Bert", "bert_base", "bert_tiny"]


class Embeddings(nn.Module):
    """The sum of a word's, its position's and its segment's vector, normalized."""

    def __init__(self, vocabulary: int, length: int, width: int):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, width)
        self.position_embeddings = nn.Embedding(length, width)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Map int64 (N, tokens) to float32 (N, tokens, width)."""
        places = self.position_embeddings.weight[: ids.shape[1]]
        segment = self.token_type_embeddings.weight[0]
        return self.LayerNorm(self.word_embeddings(ids) + places + segment)


class SelfAttention(nn.Module):
    """Three linear layers make queries, keys and values."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape (N, tokens, width)."""
        return attend(self.query(x), self.key(x), self.value(x), self.heads)


class Output(nn.Module):
    """A linear layer, beside a shortcut, and a layer norm behind both."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.dense = nn.Linear(inputs, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: torch.Tensor, shortcut: torch.Tensor) -> torch.Tensor:
        """Map (N, tokens, inputs) and (N, tokens, width) to (N, tokens, width)."""
        return self.LayerNorm(self.dense(x) + shortcut)


class Layer(nn.Module):
    """Attention, then an MLP with GELU."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": SelfAttention(width, heads), "output": Output(width, width)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, 4 * width)})
        self.output = Output(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape (N, tokens, width)."""
        x = self.attention["output"](self.attention["self"](x), x)
        return self.output(functional.gelu(self.intermediate["dense"](x)), x)


class Bert(nn.Module):
    """Embeddings, transformer layers, and a linear layer with tanh on the first token.

    Parameters
    ----------
    width, depth, heads : int
        Size of a token, number of layers, attention heads in each.
    vocabulary, length : int, optional
        Number of different tokens, and of positions.
    """

    def __init__(
        self, width: int, depth: int, heads: int, vocabulary: int = 30522, length: int = 512
    ):
        super().__init__()
        self.embeddings = Embeddings(vocabulary, length, width)
        self.encoder = nn.ModuleDict(
            {"layer": nn.Sequential(*(Layer(width, heads) for _ in range(depth)))}
        )
        self.pooler = nn.ModuleDict({"dense": nn.Linear(width, width)})

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map int64 (N, tokens) to float32 (N, tokens, width) and (N, width)."""
        x = self.encoder["layer"](self.embeddings(ids))
        return x, torch.tanh(self.pooler["dense"](x[:, 0]))


def bert_base(vocabulary: int = 30522, length: int = 512) -> Bert:
    """Return a BERT-Base; the parameters are those of `Bert`.

    Examples
    --------
    >>> from tvm_book.testing.models import bert_base
    >>> sum(p.numel() for p in bert_base(vocabulary=1000, length=32).parameters())
    86440704
    """
    return Bert(768, 12, 12, vocabulary, length)


def bert_tiny(vocabulary: int = 30522, length: int = 512) -> Bert:
    """Return a BERT-Tiny, of two layers; the parameters are those of `Bert`.

    Examples
    --------
    >>> from tvm_book.testing.models import bert_tiny
    >>> sum(p.numel() for p in bert_tiny().parameters())
    4385920
    """
    return Bert(128, 2, 2, vocabulary, length)
