"""Cross-layer equalization: even out the ranges of channels between consecutive layers."""

from __future__ import annotations

from ._graph import Rebuilder

__all__ = ["Equalize"]


class Equalize(Rebuilder):
    """To be written."""
