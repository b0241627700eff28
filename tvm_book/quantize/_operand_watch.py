"""How well the grid of a rounded tensor fits what is seen there."""

from __future__ import annotations

import numpy as np
import torch
from tvm import relax
from tvm.ir import GenericConst

from ._graph import to_numpy
from ._layer_error import Operand
from .rules.affine.values import StorageGrid

__all__ = ["OperandWatch"]


class OperandWatch:
    """Sums up, batch by batch, what a ``simulated_quantize`` reads.

    Parameters
    ----------
    call : tvm.relax.Call
        The ``simulated_quantize``, with its grid.
    channel_axis : int
        Axis of the tensor that holds channels.
    """

    def __init__(self, call: relax.Call, channel_axis: int):
        self.kind = str(call.attrs["kind"])
        self.scale, low, high = (to_numpy(number) for number in call.args[1:])
        self.low, self.high = float(low), float(high)
        self._scale = torch.from_numpy(np.ascontiguousarray(self.scale))
        self._axis = channel_axis
        self._minimum, self._maximum = np.inf, -np.inf
        self._first, self._last = np.inf, -np.inf
        self._outside = self._count = 0
        self._channels: torch.Tensor | None = None
        if isinstance(call.args[0], GenericConst):
            self.update(torch.from_numpy(np.ascontiguousarray(to_numpy(call.args[0]))))

    def update(self, x: torch.Tensor) -> None:
        """Take in float values."""
        steps = x / self._scale
        low, high = (float(end) for end in torch.aminmax(x))
        self._minimum, self._maximum = min(self._minimum, low), max(self._maximum, high)
        outside = (steps < self.low - 0.5) | (steps > self.high + 0.5)
        self._outside += int(outside.sum())
        self._count += x.numel()
        first, last = torch.aminmax(steps.round().clamp(self.low, self.high))
        self._first, self._last = min(self._first, float(first)), max(self._last, float(last))
        axis = self._axis % x.ndim if x.ndim else 0
        others = [i for i in range(x.ndim) if i != axis]
        largest = x.abs().amax(dim=others) if others else x.abs().reshape(-1)
        self._channels = (
            largest if self._channels is None else torch.maximum(self._channels, largest)
        )

    def result(self, source: str, is_stored: bool, calibrated: bool) -> Operand:
        """Return what was seen; ``is_stored``: whether the scheme has zero points."""
        zero_point = StorageGrid.of(self.kind, self.scale, self.low, self.high).zero_point
        return Operand(
            kind=self.kind,
            source=source,
            scale=self.scale,
            zero_point=zero_point if is_stored else 0,
            low=int(self.low),
            high=int(self.high),
            minimum=self._minimum,
            maximum=self._maximum,
            saturated=self._outside / max(self._count, 1),
            used=(self._last - self._first + 1) / (self.high - self.low + 1),
            channels=self._channels.double().numpy(),
            calibrated=calibrated,
        )
