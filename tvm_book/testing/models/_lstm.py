"""Long short-term memory: Hochreiter and Schmidhuber (1997), for sequences of a fixed length."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["SequenceLSTM", "lstm"]


class SequenceLSTM(nn.Module):
    """Layers of LSTM over a sequence, and a linear layer on the last state.

    Capturing the network unrolls it: the program has every step of the sequence written out.

    Parameters
    ----------
    inputs, hidden : int
        Size of a step's input, and of the state.
    depth : int, optional
        Number of layers.
    num_classes : int, optional
    """

    def __init__(self, inputs: int, hidden: int, depth: int = 1, num_classes: int = 10):
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, depth, batch_first=True)
        self.fc = nn.Linear(hidden, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 (N, steps, inputs) to scores (N, num_classes)."""
        return self.fc(self.lstm(x)[0][:, -1])


def lstm(
    inputs: int = 40, hidden: int = 128, depth: int = 2, num_classes: int = 10
) -> SequenceLSTM:
    """Return a `SequenceLSTM`; the parameters are those of the class.

    Examples
    --------
    >>> from tvm_book.testing.models import lstm
    >>> sum(p.numel() for p in lstm(inputs=16, hidden=64, depth=1).parameters())
    21642
    """
    return SequenceLSTM(inputs, hidden, depth, num_classes)
