"""What a command prints: tables for people, JSON for programs, notes on stderr."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import click

__all__ = ["first_line", "note", "print_json", "print_table", "show", "silence", "to_json"]


def first_line(text: str) -> str:
    """Return the first line of a text that is not blank.

    Examples
    --------
    >>> first_line("too large" + chr(10) + "  at line 3")
    'too large'
    """
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def note(text: str) -> None:
    """Tell something on stderr that is no error."""
    click.echo(f"note: {text}", err=True)


def show(*things: Any) -> None:
    """Print texts, and what rich can print, on stdout; coloured on a terminal alone.

    Raises
    ------
    BrokenPipeError
        Nobody reads.
    RuntimeError
        It cannot be written.
    """
    from rich.console import Console

    from .._text import WIDE

    class Plain(Console):
        def on_broken_pipe(self) -> None:  # which would end the process
            raise BrokenPipeError

    width = None if sys.stdout.isatty() else WIDE
    out = Plain(file=sys.stdout, width=width, highlight=False, markup=False)
    try:
        for thing in things:
            if isinstance(thing, str):
                sys.stdout.write(f"{thing}\n")
            else:
                out.print(thing)
        sys.stdout.flush()
    except BrokenPipeError:
        silence()
        raise
    except OSError as error:
        silence()
        raise RuntimeError(f"the output cannot be written: {error.strerror}") from error


def silence() -> None:
    """Drop what waits to be written, so that Python's own flush at exit succeeds."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; columns whose heading begins with ``>`` stand to the right."""
    from rich.table import Table

    table = Table()
    for heading in columns:
        right = heading.startswith(">")
        table.add_column(
            heading.removeprefix(">"), justify="right" if right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*map(str, row))
    show(title, table)


def to_json(value: Any) -> Any:
    """Return what JSON can hold; NaN becomes None, infinities ``"Infinity"`` and the like.

    Examples
    --------
    >>> import numpy as np
    >>> to_json({"shape": (1, None), "sqnr_db": math.inf, "cosine": np.float32(1)})
    {'shape': [1, None], 'sqnr_db': 'Infinity', 'cosine': 1.0}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # of NumPy
        value = value.tolist()
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value) if isinstance(value, PurePath) else repr(value)


def print_json(document: Any) -> None:
    """Print one JSON document, in ASCII."""
    show(json.dumps(to_json(document), indent=2, allow_nan=False))
