"""What a command prints: tables for people, JSON for programs, notes on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from .._json import json_text

__all__ = ["first_line", "note", "print_json", "print_table", "show", "silence"]


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

    from .._text import text_width

    class Plain(Console):
        def on_broken_pipe(self) -> None:  # which would end the process
            raise BrokenPipeError

    out = Plain(file=sys.stdout, width=text_width(), highlight=False, markup=False)
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


def print_json(document: Any) -> None:
    """Print one JSON document, in ASCII."""
    show(json_text(document, ascii_only=True))
