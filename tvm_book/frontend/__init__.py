"""Bring models of other frameworks to Relax.

`from_pytorch` and `from_onnx` return a module and its parameters in one and the same spelling.
"""

from __future__ import annotations

from ._errors import UnsupportedModelError
from ._paths import module_path
from .onnx import from_onnx
from .pytorch import from_pytorch

__all__ = ["UnsupportedModelError", "from_onnx", "from_pytorch", "module_path"]
