"""Run, time, profile, save and load compiled models, here and on other machines."""

from ..backend import TensorSpec
from ._benchmark import Benchmark
from ._description import Code
from ._model import CompiledModel, load
from ._remote import RemoteModel, upload
from ._report import Profile

__all__ = [
    "Benchmark",
    "Code",
    "CompiledModel",
    "Profile",
    "RemoteModel",
    "TensorSpec",
    "load",
    "upload",
]
