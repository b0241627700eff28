"""Pooling: channels are the lanes, and each output position combines a window of the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from ._kernel import Array, Kernel

__all__ = ["Adaptive", "Pool", "Window", "pool"]

Expr = Any
UNROLLED = 64  # taps that are written out; more become loops


@dataclass(frozen=True)
class Window:
    """One axis of windows of one size.

    Attributes
    ----------
    extent, size : int
        Indices of the output and of the image.
    taps, stride, dilation, before : int
        Indices of a window, what windows and taps are apart, and the padding in front.
    """

    extent: int
    size: int
    taps: int
    stride: int
    dilation: int = 1
    before: int = 0

    def inner(self) -> tuple[int, int]:
        """Return the first and the last window that lie in the image."""
        last = self.size - 1 + self.before - (self.taps - 1) * self.dilation
        return max(-(-self.before // self.stride), 0), min(last // self.stride, self.extent - 1)

    def covers(self) -> bool:
        """Whether every window has an index of the image."""
        step = self.dilation
        return all(
            max(-(-(self.before - o * self.stride) // step), 0)
            <= min((self.size - 1 + self.before - o * self.stride) // step, self.taps - 1)
            for o in range(self.extent)
        )

    def cut(self, o: Expr) -> tuple[Expr, Expr]:
        """Return the first index of the image in a window, and how many there are."""
        start = o * self.stride - self.before
        first = (T.max(-start, 0) + (self.dilation - 1)) // self.dilation
        end = T.min((self.size - 1 - start) // self.dilation + 1, self.taps)
        return T.bind(start + first * self.dilation), T.bind(end - first)


@dataclass(frozen=True)
class Adaptive:
    """One axis of windows that share an image as evenly as integers allow."""

    extent: int
    size: int
    taps: int = 0
    dilation: int = 1

    def inner(self) -> tuple[int, int]:
        """No window has a size that is known beforehand."""
        return 1, 0

    def cut(self, o: Expr) -> tuple[Expr, Expr]:
        """Return the first index of the image in a window, and how many there are."""
        first = T.bind(o * self.size // self.extent)
        return first, T.bind((o * self.size + (self.size + self.extent - 1)) // self.extent - first)


@dataclass(frozen=True)
class Pool:
    """What is done with the elements of a window.

    Attributes
    ----------
    dtype : str
        In which elements are combined.
    load : callable
        ``(array, index, lanes)``: some channels of the image, in that dtype.
    combine : callable
        ``(a, b)``; the order does not matter.
    result : callable
        ``(value, lanes, y, x)``: the output from what the window of `y` and `x` combined to.
    twice : bool
        Whether an element may be combined twice; otherwise zero may be.
    """

    dtype: str
    load: Callable[[Array, list[Expr], int], Expr]
    combine: Callable[[Expr, Expr], Expr]
    result: Callable[[Expr, int, Expr, Expr], Expr]
    twice: bool = False


def pool(
    kernel: Kernel, what: Pool, image: Array, windows: tuple[Any, Any], lanes: int, finish: Callable
) -> None:
    """Emit the loops.

    Parameters
    ----------
    kernel : Kernel
    what : Pool
    image : Array
        (N, C, H, W), neighbours on C, readable up to a multiple of `lanes`.
    windows : pair of Window or Adaptive
        Of rows and of columns.
    lanes : int
        Channels at a time.
    finish : callable
        ``(index, lanes, read)``.
    """
    batch, channels = image.view.shape[:2]
    rows, columns = windows
    panels = -(-channels // lanes)

    def cell(b: Expr, y: Expr, x: Expr, panel: Expr) -> None:
        acc = T.alloc_buffer((lanes,), what.dtype, scope="local")
        every = T.ramp(0, 1, lanes)
        c = panel * lanes

        def take(row: Expr, column: Expr, first: bool = False) -> None:
            value = what.load(image, [b, c, row, column], lanes)
            T.buffer_store(acc, value if first else what.combine(acc[every], value), [every])

        def whole() -> None:
            top, left = (o * w.stride - w.before for o, w in ((y, rows), (x, columns)))
            for i in range(rows.taps):
                for j in range(columns.taps):
                    take(top + i * rows.dilation, left + j * columns.dilation, i == j == 0)

        def partial() -> None:
            (top, height), (left, width) = rows.cut(y), columns.cut(x)
            zero = T.broadcast(tirx.const(0, what.dtype), lanes)
            begin = what.load(image, [b, c, top, left], lanes) if what.twice else zero
            T.buffer_store(acc, begin, [every])
            with T.serial(0, height) as i:
                with T.serial(0, width) as j:
                    take(top + i * rows.dilation, left + j * columns.dilation)

        _choose(_inside((y, x), windows), whole, partial)
        finish([b, c, y, x], lanes, lambda at, n: what.result(_read(acc, at, n), n, y, x))

    def line(b: Expr, y: Expr) -> None:
        with T.serial(0, columns.extent) as x:
            with T.serial(0, panels) as panel:
                cell(b, y, x, panel)

    if batch * rows.extent >= 2 * kernel.threads:
        with kernel.parallel([batch, rows.extent]) as (b, y):
            line(b, _index(y))
        return
    with kernel.parallel([batch, rows.extent, panels]) as (b, y, panel):
        with T.serial(0, columns.extent) as x:
            cell(b, _index(y), x, panel)


def _index(o: Expr) -> Expr:
    return T.int32(o) if isinstance(o, int) else o


def _inside(position: tuple[Expr, Expr], windows: tuple[Any, Any]) -> Expr | bool:
    """Whether a window lies in the image: a condition, or known for all windows."""
    if windows[0].taps * windows[1].taps > UNROLLED:
        return False
    inside: Expr | bool = True
    for o, window in zip(position, windows, strict=True):
        low, high = window.inner()
        if low > high:
            return False
        if low > 0:
            inside = T.And(inside, o >= low)
        if high < window.extent - 1:
            inside = T.And(inside, o <= high)
    return inside


def _choose(condition: Expr | bool, then: Callable[[], None], other: Callable[[], None]) -> None:
    if isinstance(condition, bool):
        (then if condition else other)()
        return
    with T.If(condition):
        with T.Then():
            then()
        with T.Else():
            other()


def _read(acc: Any, position: int, lanes: int) -> Expr:
    return acc[position] if lanes == 1 else acc[T.ramp(position, 1, lanes)]
