"""Global scale: one constant for every tensor, without a look at data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..config import QConfig

__all__ = ["KEY", "GlobalScale"]

KEY = "global_scale"


class GlobalScale:
    """The range from ``-config.global_scale`` to ``config.global_scale``.

    What Relay does unless asked otherwise (``relay/quantize/_calibrate.py``).

    Examples
    --------
    >>> from tvm_book.quantize import QConfig
    >>> GlobalScale(QConfig(global_scale=4.0)).limits()
    (-4.0, 4.0)
    """

    passes = 0
    needs_count = False

    def __init__(self, config: QConfig, kind: str = "input", count: int | None = None):
        self._magnitude = config.global_scale

    def update(self, values: Any, pass_number: int = 0) -> None:
        """Do nothing."""

    def merge(self, other: GlobalScale) -> None:
        """Do nothing."""

    def limits(self) -> tuple[float, float]:
        """Return the range."""
        return -self._magnitude, self._magnitude
