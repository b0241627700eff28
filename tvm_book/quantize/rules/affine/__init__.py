"""The affine scheme: zero points, per-channel weights, integers from layer to layer."""

from ...prepare_affine import affine_passes
from ..rule import Scheme
from . import arithmetic, functions, grids, layers, pooling, shape
from .annotating import mark_shared, narrow
from .functions import pointwise
from .shape import move

__all__ = ["AFFINE", "move", "narrow", "pointwise"]

AFFINE = Scheme(
    name="affine",
    rules=(
        grids.RULES
        + layers.RULES
        + arithmetic.RULES
        + functions.RULES
        + pooling.RULES
        + shape.RULES
    ),
    prepare=affine_passes,
    share=mark_shared,
    has_groups=False,
)
