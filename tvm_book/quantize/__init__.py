"""The quantizer that Relay had, on Relax.

>>> from tvm_book import quantize
>>> with quantize.qconfig(skip_conv_layers=[]):
...     quantize.current_qconfig().global_scale
8.0
"""

from . import ops, rules
from ._observe import observe
from ._pipeline import quantize
from ._rounded import rounded_tensors
from .calibrate import Statistics
from .config import QConfig, current_qconfig, qconfig
from .rules import Rule

__all__ = [
    "QConfig",
    "Rule",
    "Statistics",
    "current_qconfig",
    "observe",
    "ops",
    "qconfig",
    "quantize",
    "rounded_tensors",
    "rules",
]
