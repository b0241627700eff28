"""Values and tables as plain text."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable

from rich.console import Console, RenderableType

__all__ = ["as_text", "cut_front", "plural", "shape_text", "text_width"]


def text_width() -> int:
    """Return how many columns a table may take: what COLUMNS says, else the terminal's, else 160.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", COLUMNS="72"):
    ...     text_width()
    72
    """
    return shutil.get_terminal_size((160, 0)).columns


def as_text(renderable: RenderableType) -> str:
    """Return what rich would print, without colours, at most `text_width` wide.

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
    console = Console(file=io.StringIO(), width=text_width(), markup=False, force_jupyter=False)
    console.print(renderable)
    return console.file.getvalue().rstrip()


def cut_front(name: str, longest: int) -> str:
    """Return the end of a name that is too long: it tells more than the beginning.

    Examples
    --------
    >>> cut_front("encoder.layer_3.mlp", 10), cut_front("fc", 10)
    ('…yer_3.mlp', 'fc')
    """
    return name if len(name) <= longest else f"…{name[1 - longest :].lstrip('.')}"


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
