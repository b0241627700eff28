"""Calibrate: choose the grid of every ``simulated_quantize``.

An algorithm is one file with one class, named in `ALGORITHMS`; it sees the values of one tensor,
batch by batch, and answers with the largest magnitude that its grid should hold.
"""

from ._grid import Calibrate, Grid, SetGrids, choose_grids, list_grids
from ._observe import ALGORITHMS

__all__ = ["ALGORITHMS", "Calibrate", "Grid", "SetGrids", "choose_grids", "list_grids"]
