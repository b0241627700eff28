"""Calibrate: choose the grid of every ``simulated_quantize``.

An algorithm is one file with one class, named in `ALGORITHMS`; it sees the values of one tensor,
batch by batch, and answers with the range that its grid should cover.
"""

from ._algorithms import ALGORITHMS, algorithm_for
from ._collect import collect
from ._grid import Calibrate, Grid, SetGrids, choose_grids, list_grids
from ._statistic import Statistic
from ._statistics import Statistics

__all__ = [
    "ALGORITHMS",
    "Calibrate",
    "Grid",
    "SetGrids",
    "Statistic",
    "Statistics",
    "algorithm_for",
    "choose_grids",
    "collect",
    "list_grids",
]
