"""Sums over pairs of arrays that come batch by batch, and the metrics they lead to."""

from __future__ import annotations

import math

import torch

__all__ = ["Agreement"]


class Agreement:
    """How near one stream of values comes to another.

    Examples
    --------
    >>> found = Agreement()
    >>> found.update(torch.tensor([10.0]), torch.tensor([9.0]))
    >>> found.update(torch.tensor([0.0]), torch.tensor([0.0]))
    >>> round(found.sqnr_db, 9), found.cosine
    (20.0, 1.0)
    """

    def __init__(self):
        self._signal = self._test = self._noise = self._product = 0.0

    def update(self, reference: torch.Tensor, test: torch.Tensor) -> None:
        """Take in a batch; both of one shape."""
        reference, test = reference.double(), test.double()
        self._signal += float(reference.square().sum())
        self._test += float(test.square().sum())
        self._noise += float((reference - test).square().sum())
        self._product += float((reference * test).sum())

    @property
    def sqnr_db(self) -> float:
        """As `tvm_book.testing.sqnr_db` of all values."""
        if self._noise == 0:
            return math.inf
        if self._signal == 0 or self._noise == math.inf:
            return -math.inf
        return 10 * math.log10(self._signal / self._noise)

    @property
    def cosine(self) -> float:
        """As `tvm_book.testing.cosine_similarity` of all values."""
        if not math.isfinite(self._noise):
            return math.nan
        if self._noise == 0:
            return 1.0
        if self._signal == 0 or self._test == 0:
            return 0.0
        cosine = self._product / math.sqrt(self._signal * self._test)
        return min(1.0, max(-1.0, cosine))
