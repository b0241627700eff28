"""Where a kernel writes its result: channels last, padded to whole vectors, with a halo."""

from __future__ import annotations

from collections.abc import Sequence

from ..kernels._view import View

__all__ = ["MULTIPLE", "SMALL", "allocate"]

MULTIPLE = 16  # elements to which the vector axis is padded
SMALL = 4  # what suffices for images of so few channels, which only convolutions read
STORED = {"int8": "uint8"}
BEYOND = 64  # bytes behind an array of bytes: tile registers are read whole


def allocate(
    shape: Sequence[int],
    dtype: str,
    axis: int,
    halo: Sequence[tuple[int, int]] | None = None,
    fill: float = 0,
    multiple: int = MULTIPLE,
) -> View:
    """Return the view of a fresh array whose neighbours are neighbours on `axis`.

    Parameters
    ----------
    shape, dtype
        Of the tensor.
    axis : int
        The vector axis.
    halo : sequence of (int, int), optional
        Room before and behind, for each axis.
    fill : float, optional
        What the halo will hold.
    multiple : int, optional
        Of how many elements the vector axis becomes a multiple.
    """
    halo = tuple(halo) if halo is not None else ((0, 0),) * len(shape)
    order = [a for a in range(len(shape)) if a != axis] + [axis]
    strides, step, offset = [0] * len(shape), 1, 0
    for a in reversed(order):
        size = shape[a] + sum(halo[a])
        if a == axis:
            size += -size % multiple
        strides[a] = step
        offset += halo[a][0] * step
        step *= size
    stored = STORED.get(dtype, dtype)
    # Behind the last element there may be the halo, which is not to be computed along.
    slack = 0 if any(halo[axis]) else -shape[axis] % multiple
    beyond = BEYOND if stored != dtype else 0
    extent = (step + beyond,)
    return View(
        shape=tuple(shape),
        dtype=dtype,
        stored=stored,
        extent=extent,
        strides=tuple(strides),
        offset=offset,
        halo=halo,
        fill=fill,
        slack=slack,
        beyond=beyond,
    )
