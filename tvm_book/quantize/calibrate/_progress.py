"""A progress bar for what takes long, on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

__all__ = ["track"]

Item = TypeVar("Item")
PATIENCE = 2.0  # seconds


def track(
    items: Iterable[Item], label: str, total: int | None = None, patience: float | None = None
) -> Iterator[Item]:
    """Yield the items; after a while, show how many of them are done.

    Nothing is shown in notebooks, in pipes, or for what is done before.

    Parameters
    ----------
    items : iterable
    label : str
        What is going on.
    total : int, optional
        How many items there are, if that is known.
    patience : float, optional
        Seconds until the bar appears; by default `PATIENCE`.

    Yields
    ------
    item
    """
    appear = time.monotonic() + (PATIENCE if patience is None else patience)
    advance = None
    with ExitStack() as stack:
        for done, item in enumerate(items):
            if advance is None and time.monotonic() > appear and sys.stderr.isatty():
                advance = _bar(stack, label, total, done)
            elif advance is not None:
                advance()
            yield item


def _bar(stack: ExitStack, label: str, total: int | None, done: int) -> Any:
    # Imported when it is needed: most calibrations are over before.
    from rich.console import Console
    from rich.progress import Progress

    progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
    task = progress.add_task(label, total=total, completed=done)
    return lambda: progress.advance(task)
