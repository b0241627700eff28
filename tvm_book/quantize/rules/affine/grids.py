"""The rule of ``simulated_quantize``, and the operators that stay in float with their reasons."""

from __future__ import annotations

from ..._graph import to_numpy
from ..rule import Rule
from .requantize import round_to_grid
from .values import StorageGrid

__all__ = ["FLOAT", "RULES"]


def _realize_simulated_quantize(r, call, args):
    value, *numbers = args
    scale, low, high = map(to_numpy, numbers)
    grid = StorageGrid.of(str(call.attrs["kind"]), scale, float(low), float(high))
    return round_to_grid(r, value, grid)


_NORMALIZES = "mean and variance of each sample: in float, as cheap beside the layers around it"
_SELECTS = "it chooses among elements; rare between layers"
_EXPONENTIALS = "exponentials span orders of magnitude: 8 bits would lose the small ones"

FLOAT = {
    "relax.nn.softmax": _EXPONENTIALS,
    "relax.nn.log_softmax": _EXPONENTIALS,
    "relax.nn.layer_norm": _NORMALIZES,
    "relax.nn.group_norm": _NORMALIZES,
    "relax.nn.instance_norm": _NORMALIZES,
    "relax.take": "a look-up of rows: moves float values, computes nothing",
    "relax.power": "a power of two tensors has no fixed step",
    "relax.maximum": "rare; the larger of two grids",
    "relax.minimum": "rare; the larger of two grids",
    "relax.variance": _NORMALIZES,
    "relax.nn.rms_norm": _NORMALIZES,
    "relax.where": _SELECTS,
    "relax.cumsum": "its range grows with the length of the sum",
    "relax.prod": "its range grows with every factor",
    "relax.scatter_elements": _SELECTS,
    "relax.scatter_nd": _SELECTS,
    "relax.gather_elements": _SELECTS,
    "relax.gather_nd": _SELECTS,
    "relax.sort": _SELECTS,
    "relax.topk": _SELECTS,
    "relax.astype": "a change of type, not of value",
}

RULES = (
    Rule("relax.qnn.simulated_quantize", realize=_realize_simulated_quantize),
    *(Rule(op, why=why) for op, why in FLOAT.items()),
)
