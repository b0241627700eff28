"""One configuration that was tried, and the columns of a table of them."""

from __future__ import annotations

from dataclasses import dataclass

from ._result_table import Column
from .config import QConfig

__all__ = ["COLUMNS", "Point", "mode_name"]


@dataclass(frozen=True)
class Point:
    """A configuration that was tried.

    Attributes
    ----------
    number : int
        Of the trial, from 0.
    config : QConfig
        With which `quantize`, on the same data, makes the same module bit for bit.
    value : float
        The metric, of which more is better.
    drop : float
        By how much the float model's value is better.
    share : float
        Of the model's multiplications, those in integers.
    cost : float or None
        What the function given as ``cost`` returned.
    note : str
        What was tried.
    """

    number: int
    config: QConfig
    value: float
    drop: float
    share: float
    cost: float | None = None
    note: str = ""

    @property
    def gain(self) -> float:
        """What is to be large: the integer share, or the cost with the other sign."""
        return self.share if self.cost is None else -self.cost


COLUMNS: tuple[Column[Point], ...] = (
    ("#", lambda p: str(p.number), True),
    ("tried", lambda p: p.note, False),
    ("{metric}", lambda p: f"{p.value:.6g}", True),
    ("drop", lambda p: f"{p.drop:.3g}", True),
    ("int8", lambda p: f"{p.share:.1%}", True),
    ("cost", lambda p: "" if p.cost is None else f"{p.cost:.4g}", True),
    ("in float", lambda p: ", ".join(p.config.skip), False),
    ("calibrated by", lambda p: _calibration(p.config), False),
)


def mode_name(config: QConfig) -> str:
    """Name the algorithm of ``config.calibrate_mode``."""
    mode = config.calibrate_mode
    return mode if isinstance(mode, str) else mode.__name__


def _calibration(config: QConfig) -> str:
    return ", ".join([mode_name(config), *(f"{k}: {mode}" for k, mode in config.calibrate_layers)])
