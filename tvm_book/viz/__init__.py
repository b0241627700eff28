"""Figures and tables for the chapters, readable on light and on dark pages."""

from ._images import show_images
from ._layer_errors import plot_layer_errors
from ._pareto import plot_pareto
from ._roofline import plot_roofline
from ._side_by_side import side_by_side
from ._style import COLORS, style
from ._table import Table, table
from ._thresholds import plot_thresholds
from ._times import plot_times

__all__ = [
    "COLORS",
    "Table",
    "plot_layer_errors",
    "plot_pareto",
    "plot_roofline",
    "plot_thresholds",
    "plot_times",
    "show_images",
    "side_by_side",
    "style",
    "table",
]
