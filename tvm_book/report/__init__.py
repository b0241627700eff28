"""Reports on quantized models: how far each layer is from float, why, and what to do."""

from ._explanation import Explanation
from ._finding import Finding
from ._layer_report import LayerReport
from ._layerwise import layerwise
from ._network import Network

__all__ = ["Explanation", "Finding", "LayerReport", "Network", "layerwise"]
