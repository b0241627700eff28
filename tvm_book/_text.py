"""Values and tables as plain text."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable

from rich.console import Console, RenderableType

__all__ = ["as_text", "plural", "shape_text"]

WIDE = 160  # columns where there is no terminal


def as_text(renderable: RenderableType) -> str:
    """Return what rich would print, without colours, as wide as the terminal at most.

    Examples
    --------
    >>> from rich.table import Table
    >>> table = Table("layer", "µs")
    >>> table.add_row("fc", "8.0")
    >>> print(as_text(table))
    ┏━━━━━━━┳━━━━━┓
    ┃ layer ┃ µs  ┃
    ┡━━━━━━━╇━━━━━┩
    │ fc    │ 8.0 │
    └───────┴─────┘
    """
    width = shutil.get_terminal_size((WIDE, 0)).columns
    console = Console(file=io.StringIO(), width=width, markup=False, force_jupyter=False)
    console.print(renderable)
    return console.file.getvalue().rstrip()


def plural(number: int, noun: str) -> str:
    """Count a regular noun.

    Examples
    --------
    >>> plural(1, "layer"), plural(2, "layer")
    ('1 layer', '2 layers')
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def shape_text(shape: Iterable[int]) -> str:
    """Write a shape.

    Examples
    --------
    >>> shape_text((1, 64, 56, 56)), shape_text(())
    ('1×64×56×56', '()')
    """
    return "×".join(map(str, shape)) or "()"
