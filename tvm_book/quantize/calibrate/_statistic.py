"""What a calibration algorithm is, and what several of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from ..config import QConfig

__all__ = ["Extremes", "GridFamily", "Statistic", "flat", "grid_family"]

TABLE_BITS = 12


class Statistic(Protocol):
    """Sees the values of one tensor, batch by batch, and answers with a range for its grid.

    What it keeps must not depend on how the values are split into batches, nor grow with them
    beyond a few bytes a sample. It has to be picklable, so that shards can be observed in
    processes of their own.

    Attributes
    ----------
    passes : int
        How often it wants to see the data.
    needs_count : bool
        Whether it has to know beforehand how many values there will be.
    """

    passes: int
    needs_count: bool

    def __init__(self, config: QConfig, kind: str = "input", count: int | None = None):
        """Start.

        Parameters
        ----------
        config : QConfig
        kind : str
            Of the ``simulated_quantize``.
        count : int, optional
            How many values one pass will show, all shards together.
        """

    def update(self, values: Any, pass_number: int = 0) -> None:
        """Take in one batch: an array or torch tensor whose axis 0 counts samples."""

    def merge(self, other: Any) -> None:
        """Take in what another one saw after this one, in the same pass."""

    def limits(self) -> tuple[float, float]:
        """Return ``low <= 0 <= high``, the range that a grid should cover."""


class GridFamily(NamedTuple):
    """The grids that `make_grid` chooses from: what a range is divided into.

    Attributes
    ----------
    symmetric : bool
        Whether grids have as many steps below zero as above.
    steps : int
        From zero to an end if symmetric, otherwise from end to end.
    divisor : int
        The range (the larger magnitude if symmetric) divided by it is one step.
    """

    symmetric: bool
    steps: int
    divisor: int


def grid_family(kind: str, config: QConfig) -> GridFamily:
    """Say what `make_grid` divides a range into.

    Examples
    --------
    >>> from tvm_book.quantize import QConfig
    >>> grid_family("input", QConfig())
    GridFamily(symmetric=True, steps=127, divisor=128)
    >>> grid_family("input", QConfig(preset="accurate"))
    GridFamily(symmetric=False, steps=255, divisor=255)
    """
    if config.scheme == "relay":
        half = 1 << (config.get_nbit_by_kind(kind) - 1)
        return GridFamily(True, half - 1, half)
    if kind in ("symmetric", "weight") or (config.symmetric_input and kind == "input"):
        is_weight = kind == "weight"
        half = 1 << ((config.nbit_weight if is_weight else config.nbit_input) - 1)
        by_shift = is_weight and config.weight_scale == "power2"
        return GridFamily(True, half - 1, half if by_shift else half - 1)
    steps = (1 << (TABLE_BITS if kind == "table" else config.nbit_input)) - 1
    return GridFamily(False, steps, steps)


class Extremes:
    """The smallest and the largest value so far; zero counts as one.

    Examples
    --------
    >>> extremes = Extremes()
    >>> extremes.update(np.array([3, 5], "float32"))
    >>> extremes.low, extremes.high
    (0.0, 5.0)
    """

    def __init__(self) -> None:
        self.low = self.high = 0.0

    def update(self, values: np.ndarray) -> None:
        """Take in an array that is not empty."""
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))

    def merge(self, other: Extremes) -> None:
        """Take in what another one saw."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    @property
    def magnitude(self) -> float:
        """The largest absolute value."""
        return max(-self.low, self.high)

    def clip(self, magnitude: float) -> tuple[float, float]:
        """Return the part of the range whose values have at most this magnitude."""
        return max(self.low, -magnitude), min(self.high, magnitude)


def flat(values: Any) -> np.ndarray:
    """View an array or torch tensor as float32 of shape (n,), copying only where needed."""
    return np.asarray(values, np.float32).reshape(-1)
