"""Operators with loops of their own, and which kernel computes each."""

from __future__ import annotations

from typing import Any, Protocol

from tvm import relax

from . import _concat, _conv, _matmul, _normalize, _pool, _reduce, _resize, _softmax
from ._geometry import CONVOLUTIONS

__all__ = ["ANCHORS", "Anchor"]


class Anchor(Protocol):
    """A module with these two functions."""

    def accepts(self, walk: Any, var: relax.Var) -> bool:
        """Whether there is a kernel for this call."""

    def plan(self, walk: Any, group: Any) -> Any:
        """Return the `Plan` for it."""


ANCHORS: dict[str, Anchor] = {
    **dict.fromkeys(CONVOLUTIONS, _conv),
    "relax.matmul": _matmul,
    "relax.nn.max_pool2d": _pool,
    "relax.nn.avg_pool2d": _pool,
    "relax.nn.adaptive_avg_pool2d": _pool,
    "relax.nn.global_avg_pool2d": _reduce,
    "relax.concat": _concat,
    "relax.image.resize2d": _resize,
    "relax.sum": _reduce,
    "relax.mean": _reduce,
    "relax.max": _reduce,
    "relax.min": _reduce,
    "relax.nn.softmax": _softmax,
    "relax.nn.log_softmax": _softmax,
    "relax.nn.layer_norm": _normalize,
    "relax.nn.rms_norm": _normalize,
    "relax.nn.group_norm": _normalize,
    "relax.nn.instance_norm": _normalize,
}
