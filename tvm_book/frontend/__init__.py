"""Bring models of other frameworks to Relax."""

from __future__ import annotations

from ._errors import UnsupportedModelError
from ._paths import module_path
from .pytorch import from_pytorch

__all__ = ["UnsupportedModelError", "from_pytorch", "module_path"]
