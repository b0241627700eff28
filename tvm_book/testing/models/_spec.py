"""One network of a table: how to build it, and what to feed it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ._seeding import fill_weights, fit_statistics

__all__ = ["ModelSpec"]

# The first part of the seed of what is drawn, for two purposes.
_FIT, _SAMPLE = 0, 1


@dataclass(frozen=True)
class ModelSpec:
    """A network with seeded weights, and inputs for it.

    Attributes
    ----------
    name : str
    construct : callable
        Takes nothing and returns a fresh ``torch.nn.Module``.
    inputs : tuple
        ``(name, shape)`` or ``(name, (shape, dtype))`` per argument of ``forward``: the argument
        `input_shapes` of :func:`tvm_book.frontend.from_pytorch`.
    draw : callable
        Takes a `numpy.random.Generator` and a shape, and returns an input.
    note : str
        In what the network is smaller than the published one.

    Examples
    --------
    >>> import torch
    >>> from tvm_book.testing.models import MODELS
    >>> spec = MODELS["resnet18"]
    >>> spec.inputs
    (('data', (1, 3, 64, 64)),)
    >>> model = spec.build()
    >>> sample = spec.sample(seed=0)[0]
    >>> model(torch.from_numpy(sample["data"])).shape
    torch.Size([1, 1000])
    >>> spec.parameters(), spec.macs()
    (831096, 11187200)
    """

    name: str
    construct: Callable[[], nn.Module]
    inputs: tuple[tuple[str, Any], ...]
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    note: str = ""

    def build(self, seed: int = 0) -> nn.Module:
        """Return the network in eval mode, with weights from `seed`.

        No generator but the seed's own is used, and none is changed. Batch norms and biases are
        fitted to samples, so that activations have the size they would have in a trained network.

        Parameters
        ----------
        seed : int, optional
            The same seed gives the same weights.

        Returns
        -------
        torch.nn.Module
            Its parameters need no gradient.
        """
        model = self._skeleton().to_empty(device="cpu").requires_grad_(False)
        fill_weights(model, seed)
        batch = self._draw((_FIT, seed), _fit_size(self.inputs))
        fit_statistics(model, *map(torch.from_numpy, batch.values()))
        return model

    def sample(self, seed: int = 0, count: int = 1) -> list[dict[str, np.ndarray]]:
        """Draw inputs of the shapes that `inputs` gives.

        Parameters
        ----------
        seed : int, optional
            The same seed gives the same samples, and more of them do not change the first ones.
        count : int, optional
            How many.

        Returns
        -------
        list of dict of str to numpy.ndarray
            Each maps the names of the inputs to arrays.
        """
        return [self._draw((_SAMPLE, seed, index)) for index in range(count)]

    def parameters(self) -> int:
        """Count the parameters, without building the network."""
        return sum(parameter.numel() for parameter in self._skeleton().parameters())

    def macs(self) -> int:
        """Count the multiply-accumulate operations of one run, without building the network.

        Those of convolutions and matrix products, as torch counts them.
        """
        arguments = []
        for _, described in self.inputs:
            shape, dtype = _shape_and_dtype(described)
            arguments.append(torch.empty(shape, dtype=getattr(torch, dtype), device="meta"))
        with FlopCounterMode(display=False) as counter:
            self._skeleton().eval()(*arguments)
        return counter.get_total_flops() // 2

    def _skeleton(self) -> nn.Module:
        # on this device torch's own initialization draws nothing
        with torch.device("meta"):
            return self.construct()

    def _draw(self, seed: Sequence[int], batch: int | None = None) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        arrays = {}
        for name, described in self.inputs:
            shape, _ = _shape_and_dtype(described)
            arrays[name] = self.draw(rng, (batch or shape[0], *shape[1:]))
        return arrays


def _shape_and_dtype(described: Any) -> tuple[tuple[int, ...], str]:
    return described if isinstance(described[0], tuple) else (described, "float32")


def _fit_size(inputs: tuple[tuple[str, Any], ...]) -> int:
    # Small images end as few pixels, which many samples have to make up for.
    values = sum(math.prod(_shape_and_dtype(described)[0][1:]) for _, described in inputs)
    return min(max(2**20 // values, 8), 64)
