"""Sizes of blocks, from shapes and the machine: the only place where they are chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..isa import Dot, Isa

__all__ = ["Blocking", "choose"]

LOADS = 2  # vector loads a cycle
LATENCY = 4  # cycles from one product to the next that needs its sum
TAKE_A, TAKE_B = 0.75, 0.5  # of a product's time: to make two vectors of a split operand
NEAR = 256 * 1024  # bytes of weights that stay near a core while rows change
SPAN = 4096  # bytes after which addresses fall into the same set of the nearest cache
LINES = 5  # rows of a block in one set, which has 8 ways or more: the rest is for weights
WORK = 96  # rows of a block that make a thread's turn worth its start


@dataclass(frozen=True)
class Blocking:
    """How a product is cut.

    Attributes
    ----------
    rows, panels : int
        Positions, and vectors of columns, whose sums are in registers at a time.
    chunk : int
        Indices of the outer loops that a thread takes at a time.
    columns_first : bool
        Whether a thread stays with its columns while rows change, or the other way round.
    """

    rows: int
    panels: int
    chunk: int
    columns_first: bool


def choose(
    isa: Isa,
    dot: Dot,
    shape: tuple[int, int, int],
    outer: int,
    threads: int,
    group: int = 0,
    stride: int = 0,
) -> Blocking:
    """Choose for a product.

    Parameters
    ----------
    isa : Isa
    dot : Dot
    shape : tuple of int
        Rows, columns, depth of the product at one index of the outer loops.
    outer : int
        How many indices the outer loops have.
    threads : int
    group : int, optional
        If not 0, activations change every so many columns, so a block has one panel.
    stride : int, optional
        Elements from one row of the activations to the next. Rows a power of two apart share few
        sets of the nearest cache, and a block of many such rows drives its own lines out of it.
    """
    rows, columns, depth = shape
    panels = -(-columns // dot.lanes)
    free = isa.registers - 2
    step = stride * np.dtype(dot.a).itemsize
    together = LINES * (SPAN // math.gcd(step, SPAN)) if step else free
    candidates = [
        (m, n)
        for n in range(1, 1 + min(panels, 1 if group else 6))
        for m in range(1, 1 + min(rows, together, free // n))
        if m * n + dot.split * n + 2 * dot.split - 1 <= isa.registers
    ]
    m, n = min(candidates, key=lambda block: _cycles(dot, rows, panels, *block))
    weights = columns * depth * np.dtype(dot.b).itemsize
    inputs = outer * rows * depth // 4
    columns_first = weights > max(NEAR, inputs) and -(-panels // n) >= threads
    blocks = -(-panels // n)
    chunk = min(max(1, -(-WORK // rows)), outer)
    while chunk > 1 and -(-outer // chunk) * blocks < 4 * threads:
        chunk = -(-chunk // 2)
    return Blocking(m, n, chunk, columns_first)


def _cycles(dot: Dot, rows: int, panels: int, m: int, n: int) -> tuple[float, int]:
    """Estimate the cycles of a step of the reduction over all blocks; fewer blocks if equal."""
    total = 0.0
    blocks = 0
    for height, times in ((m, rows // m), (rows % m, 1)):
        for width, number in ((n, panels // n), (panels % n, 1)):
            if height and width:
                step = max(height * width, (height + width) / LOADS, LATENCY)
                # Split operands are taken apart before they are multiplied.
                step += (dot.split - 1) * (TAKE_A * height + TAKE_B * width)
                total += times * number * (step + 0.1)
                blocks += times * number
    return total, blocks
