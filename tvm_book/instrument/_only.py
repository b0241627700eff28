"""Which passes an instrument looks at."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

__all__ = ["matches", "near", "patterns"]


def patterns(only: str | Sequence[str] | None) -> list[re.Pattern[str]] | None:
    """Compile the option ``only`` of an instrument; None stands for all passes."""
    if only is None:
        return None
    only = [only] if isinstance(only, str) else list(only)
    if not all(isinstance(text, str) for text in only):
        raise TypeError(f"only must be a string or a sequence of strings, not {only!r}")
    try:
        return [re.compile(text) for text in only]
    except re.error as error:
        raise ValueError(f"only: {error.pattern!r} is not a regular expression: {error}") from None


def matches(only: list[re.Pattern[str]] | None, name: str) -> bool:
    """Return whether a pass of this name is one of ``only``."""
    return only is None or any(pattern.search(name) for pattern in only)


def near(wanted: str, seen: Iterable[str]) -> str:
    """Say which of the names that were seen may be meant, or what there is."""
    names = list(seen)
    close = difflib.get_close_matches(wanted, names, 3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"passes that ran: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
