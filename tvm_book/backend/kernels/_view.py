"""How the elements of a tensor lie in an array.

Operators that only move elements (reshape, permute_dims, pad, slices) change the view and leave the
array alone, where strides can express the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["View", "dense"]


@dataclass(frozen=True)
class View:
    """Strides, and how far one may read around the elements.

    Attributes
    ----------
    shape : tuple of int
        Of the tensor.
    dtype, stored : str
        Of the tensor, and of the array's elements. An ``int8`` that is stored as ``uint8`` is kept
        as its value plus 128; an ``int64`` stored as ``int32`` as its value.
    extent : tuple of int
        Shape of the array.
    strides : tuple of int
        Elements of the array from one index to the next, for each axis.
    offset : int
        Position of the element at index 0.
    halo : tuple of (int, int)
        For each axis how many indices before the first and behind the last hold `fill`.
    fill : int or float
        A value of the tensor's dtype.
    slack : int
        How many elements one may read behind the last one on the axis of stride 1, whatever they
        are; they are finite.
    beyond : int
        How many elements one may read behind any element, whatever they are.
    paired : int
        If not 0, runs of so many elements lie with the even ones first, as `Pair` reads them.
    """

    shape: tuple[int, ...]
    dtype: str
    stored: str
    extent: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    halo: tuple[tuple[int, int], ...] = ()
    fill: float = 0
    slack: int = 0
    beyond: int = 0
    paired: int = 0

    @property
    def size(self) -> int:
        """Elements of the array."""
        return math.prod(self.extent)

    @property
    def plain(self) -> bool:
        """Whether the array is the tensor, row by row."""
        return (
            self.extent == self.shape
            and self.stored == self.dtype
            and self.strides == _row_major(self.shape)
            and self.offset == 0
        )

    @property
    def in_order(self) -> bool:
        """Whether the array is the tensor, row by row, but in another shape."""
        steps = _row_major(self.shape)
        same = all(
            n == 1 or a == b for n, a, b in zip(self.shape, self.strides, steps, strict=True)
        )
        whole = self.size == math.prod(self.shape) and self.offset == 0
        return same and whole and self.stored == self.dtype and self.extent != self.shape

    def vector_axis(self) -> int | None:
        """Return the axis whose elements are neighbours, None if there is none."""
        unit = [a for a, s in enumerate(self.strides) if s == 1 and self.shape[a] > 1]
        return unit[-1] if unit else None

    def position(self, index: Sequence[Any]) -> Any:
        """Return where the element at an index lies in the flat array."""
        return sum((i * s for i, s in zip(index, self.strides, strict=True) if s), self.offset)

    def broadcast(self, shape: Sequence[int]) -> View:
        """Return the view with size-1 axes repeated to `shape`, missing ones added in front."""
        extra = len(shape) - len(self.shape)
        strides = [0] * extra + [
            0 if a == 1 and b != 1 else s
            for a, b, s in zip(self.shape, shape[extra:], self.strides, strict=True)
        ]
        halo = ((0, 0),) * len(shape)
        return replace(self, shape=tuple(shape), strides=tuple(strides), halo=halo)

    def permute(self, axes: Sequence[int]) -> View:
        """Return the view with its axes in another order."""
        pick = [tuple(getattr(self, key)[a] for a in axes) for key in ("shape", "strides", "halo")]
        return replace(self, shape=pick[0], strides=pick[1], halo=pick[2])

    def slice(self, axis: int, begin: int, size: int, step: int = 1) -> View:
        """Return `size` indices of an axis, from `begin` on.

        What lies around it on that axis is no halo any more; other axes keep theirs.
        """
        shape, strides = list(self.shape), list(self.strides)
        halo = list(self.halo) or [(0, 0)] * len(shape)
        slack = self.slack
        if strides[axis] == 1:
            slack = shape[axis] + slack - begin - size if step == 1 else 0
        offset = self.offset + begin * strides[axis]
        shape[axis], halo[axis] = size, (0, 0)
        strides[axis] *= step
        return replace(
            self,
            shape=tuple(shape),
            strides=tuple(strides),
            halo=tuple(halo),
            offset=offset,
            slack=slack,
        )

    def pad(self, widths: Sequence[tuple[int, int]], fill: float) -> View | None:
        """Return the view with its halo made part of the tensor; None if that does not do."""
        wide_enough = all(
            before >= b and after >= a
            for (before, after), (b, a) in zip(self.halo, widths, strict=True)
        )
        if not wide_enough or (any(b or a for b, a in widths) and fill != self.fill):
            return None
        moved = sum(b * s for (b, _), s in zip(widths, self.strides, strict=True))
        rest = zip(self.halo, widths, strict=True)
        return replace(
            self,
            shape=tuple(n + b + a for n, (b, a) in zip(self.shape, widths, strict=True)),
            offset=self.offset - moved,
            halo=tuple((before - b, after - a) for (before, after), (b, a) in rest),
        )

    def reshape(self, shape: Sequence[int]) -> View | None:
        """Return the view in another shape; None where strides cannot express it."""
        shape = tuple(shape)
        if math.prod(shape) != math.prod(self.shape):
            return None
        old = [(n, s) for n, s in zip(self.shape, self.strides, strict=True) if n != 1]
        runs: list[list[int]] = []  # neighbouring axes that together count with one stride
        for n, s in old:
            if runs and runs[-1][1] == n * s:
                runs[-1] = [runs[-1][0] * n, s]
            else:
                runs.append([n, s])
        strides = _split(shape, runs)
        if strides is None:
            return None
        return replace(self, shape=shape, strides=strides, halo=((0, 0),) * len(shape))


def _split(shape: tuple[int, ...], runs: list[list[int]]) -> tuple[int, ...] | None:
    """Give strides to the axes of a shape, from the last on, out of runs of one stride each."""
    strides = [0] * len(shape)
    runs = [list(run) for run in runs]
    step = 1
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1:
            continue
        if step == 1 and runs:
            step = runs[-1][1]
        if not runs or runs[-1][0] % shape[axis]:
            return None
        strides[axis] = step
        runs[-1][0] //= shape[axis]
        step *= shape[axis]
        if runs[-1][0] == 1:
            runs.pop()
            step = 1
    # The axis of stride 1 stays known as such when it has one element.
    return tuple(strides)


def dense(shape: Sequence[int], dtype: str) -> View:
    """Return the view of an array that is the tensor itself, row by row."""
    shape = tuple(shape)
    return View(shape, dtype, dtype, shape, _row_major(shape), halo=((0, 0),) * len(shape))


def _row_major(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
