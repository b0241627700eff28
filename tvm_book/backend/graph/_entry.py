"""Where vectors change direction: the way into channels last, and out of it.

A group of elementwise operators, or a copy, reads what lies along one axis and writes what lies
along another: images enter as NCHW and are wanted channels last, or leave so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..kernels._view import View

__all__ = ["collapse", "reading_axis", "spare", "writing_axis"]


def writing_axis(view: View, preferred: int | None = None) -> int:
    """Return the axis along which a result is written."""
    unit = [a for a, s in enumerate(view.strides) if s == 1]
    if preferred in unit:
        return preferred
    long = [a for a in unit if view.shape[a] > 1]
    padded = unit if view.slack else []
    return (long or padded or [max(len(view.shape) - 1, 0)])[-1]


def reading_axis(leaves: Sequence[View], write: int) -> int:
    """Return the axis along which most of the operands lie; `write` if there is no better one."""
    votes: dict[int, int] = {}
    for view in leaves:
        steps = view.strides
        if not steps or steps[write] in (0, 1):
            axis = write
        else:
            axis = view.vector_axis()
        if axis is not None and any(steps):
            votes[axis] = votes.get(axis, 0) + 1
    if write in votes or not votes:
        return write
    return max(votes, key=lambda axis: votes[axis])


def spare(leaves: Sequence[View], axis: int) -> int:
    """Return how many elements behind the last one of an axis can be read in all arrays."""
    known = [view.slack for view in leaves if view.strides[axis] == 1]
    strided = any(view.strides[axis] not in (0, 1) for view in leaves)
    return 0 if strided else min(known, default=0)


def collapse(views: Sequence[View], last: Sequence[int]) -> tuple[list[View], list[int]]:
    """Make neighbouring axes one wherever all views allow it.

    Parameters
    ----------
    views : sequence of View
        Of one shape.
    last : sequence of int
        Axes that nothing is added behind.

    Returns
    -------
    list of View
        The same elements; without halos.
    list of int
        Which new axis each old one is part of.
    """
    shape = views[0].shape
    place: list[int] = []
    groups: list[list[int]] = []
    for axis in range(len(shape)):
        follows = all(
            shape[axis - 1] == 1 or v.strides[axis - 1] == v.strides[axis] * shape[axis]
            for v in views
        )
        if axis and axis - 1 not in last and follows:
            groups[-1].append(axis)
        else:
            groups.append([axis])
        place.append(len(groups) - 1)
    new = []
    for view in views:
        sizes = tuple(math.prod(shape[a] for a in group) for group in groups)
        strides = tuple(view.strides[group[-1]] for group in groups)
        halo = ((0, 0),) * len(groups)
        new.append(replace(view, shape=sizes, strides=strides, halo=halo))
    return new, place
