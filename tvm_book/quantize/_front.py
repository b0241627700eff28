"""Which of several points are worth choosing, and which of those is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._point import Point

__all__ = ["best_of", "chosen", "front", "front_of"]


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the points that no other one beats: the Pareto front.

    A point is beaten by one that is as good in both numbers and better in one; of equal points the
    first one stays.

    Parameters
    ----------
    points : sequence of (float, float)
        More is better, in both.

    Returns
    -------
    list of int
        Positions, the largest second number first.

    Examples
    --------
    >>> front([(0.9, 1.0), (0.8, 1.0), (0.95, 0.5), (0.9, 0.4)])
    [0, 2]
    """
    order = sorted(range(len(points)), key=lambda i: (-points[i][1], -points[i][0], i))
    found: list[int] = []
    for index in order:
        if not found or points[index][0] > points[found[-1]][0]:
            found.append(index)
    return found


def chosen(points: Sequence[tuple[float, float]], least: float) -> int:
    """Return the point with the largest second number whose first one is at least ``least``.

    If there is none, the one with the largest first number. Ties are for the other number, then for
    the first point.

    Examples
    --------
    >>> points = [(0.9, 1.0), (0.95, 0.5), (0.97, 0.4)]
    >>> chosen(points, 0.94), chosen(points, 0.99)
    (1, 2)
    """
    fine = [i for i, (value, _) in enumerate(points) if value >= least]
    if fine:
        return max(fine, key=lambda i: (points[i][1], points[i][0], -i))
    return max(range(len(points)), key=lambda i: (*points[i], -i))


def front_of(points: Sequence[Point]) -> list[int]:
    """Return the positions on the front of value and gain, the largest gain first."""
    order = _shortest_first(points)
    return [order[i] for i in front([(points[i].value, points[i].gain) for i in order])]


def best_of(points: Sequence[Point], max_drop: float) -> int:
    """Return the position of the best point."""
    order = _shortest_first(points)
    return order[chosen([(-points[i].drop, points[i].gain) for i in order], -max_drop)]


def _shortest_first(points: Sequence[Point]) -> list[int]:
    """Order points so that of equal ones the one with the shortest ``skip`` comes first."""
    return sorted(range(len(points)), key=lambda i: (len(points[i].config.skip), i))
