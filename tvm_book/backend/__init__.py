"""Relax in, machine code out.

`build` is the only step that generates code: a faster pipeline replaces it here, and neither
`tvm_book.compile` nor the chapters change.
"""

from .._signature import bind_params, signature
from .._tensors import TensorSpec, to_tensor
from ._build import Built, build, cpu_pipeline
from ._target import missing_features, resolve_target

__all__ = [
    "Built",
    "TensorSpec",
    "bind_params",
    "build",
    "cpu_pipeline",
    "missing_features",
    "resolve_target",
    "signature",
    "to_tensor",
]
