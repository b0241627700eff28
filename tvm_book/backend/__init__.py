"""Relax in, machine code out.

`build` is the only step that generates code: a faster pipeline replaces it here, and neither
`tvm_book.compile` nor the chapters change.
"""

from .._signature import bind_params, signature
from .._tensors import TensorSpec, to_tensor
from ._build import Built, build, cpu_pipeline
from ._peak import peak
from ._steps import Step
from ._target import cannot_run, missing_features, resolve_target
from ._threads import available_threads, check_threads, default_threads, use_threads

__all__ = [
    "Built",
    "Step",
    "TensorSpec",
    "available_threads",
    "bind_params",
    "build",
    "cannot_run",
    "check_threads",
    "cpu_pipeline",
    "default_threads",
    "missing_features",
    "peak",
    "resolve_target",
    "signature",
    "to_tensor",
    "use_threads",
]
