"""Run, time, profile, save and load compiled models."""

from ..backend import TensorSpec
from ._benchmark import Benchmark
from ._description import Code
from ._model import CompiledModel, load
from ._report import Profile

__all__ = ["Benchmark", "Code", "CompiledModel", "Profile", "TensorSpec", "load"]
