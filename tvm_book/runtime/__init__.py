"""Run, time, save and load compiled models."""

from ..backend import TensorSpec
from ._benchmark import Benchmark
from ._model import CompiledModel, load

__all__ = ["Benchmark", "CompiledModel", "TensorSpec", "load"]
