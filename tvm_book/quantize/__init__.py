"""Quantize after training: the quantizer that Relay had, and a more accurate scheme beside it.

>>> from tvm_book import quantize
>>> with quantize.qconfig(skip_conv_layers=[]):
...     quantize.current_qconfig().global_scale
8.0
"""

from . import ops, rules
from ._layer_error import LayerError, LayerErrors, Operand
from ._observe import observe
from ._pipeline import quantize
from ._rounded import rounded_tensors
from .calibrate import Statistics
from .config import QConfig, current_qconfig, qconfig
from .layer_errors import layer_errors
from .presets import PRESETS
from .qdq import realize_grids
from .recipe import Recipe
from .rules import Rule
from .search import Point, SearchResult, search
from .sensitivity import LayerCost, Sensitivity, sensitivity

__all__ = [
    "PRESETS",
    "LayerCost",
    "LayerError",
    "LayerErrors",
    "Operand",
    "Point",
    "QConfig",
    "Recipe",
    "Rule",
    "SearchResult",
    "Sensitivity",
    "Statistics",
    "current_qconfig",
    "layer_errors",
    "observe",
    "ops",
    "qconfig",
    "quantize",
    "realize_grids",
    "rounded_tensors",
    "rules",
    "search",
    "sensitivity",
]
