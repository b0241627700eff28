"""Say on a terminal what is going on."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

import click

from ._command import interrupted

__all__ = ["stage"]


@contextlib.contextmanager
def stage(label: str, seconds: dict[str, float] | None = None) -> Iterator[None]:
    """Name a stage on stderr if it is a terminal, and then the time that it took.

    Parameters
    ----------
    label : str
        What goes on; its first word is the key in `seconds`.
    seconds : dict, optional
        Where the time is kept.
    """
    shown = sys.stderr.isatty()
    if shown:
        click.echo(f"{label} ...", err=True)
    start = time.perf_counter()
    yield
    passed = time.perf_counter() - start
    if seconds is not None:
        seconds[label.split()[0]] = passed
    if shown:
        click.echo(f"{label}: {passed:.1f} s", err=True)
    if interrupted():
        raise KeyboardInterrupt
