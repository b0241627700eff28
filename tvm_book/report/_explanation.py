"""What `LayerReport.explain` returns: findings in words, the most important first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from .._text import plural
from ._finding import MARKS, Finding, Group, split
from ._finding_html import findings_html

__all__ = ["Explanation"]

SHOWN = 20  # findings in full; what follows is counted
NAMED = 6  # layers that share a finding of little weight, and are named
WIDTH = 88


@dataclass(frozen=True, repr=False)
class Explanation(Sequence):
    """Findings about the layers of a quantized model, the most important first.

    Print it, or let a notebook show it. It is a sequence of `Finding`.

    Attributes
    ----------
    findings : tuple of Finding
    summary : str
        One sentence on the whole model.

    Examples
    --------
    >>> found = Finding("fc", 0, "fine", "none", "isolated 41.0 dB", "nothing to do")
    >>> print(Explanation((found,), "The output has 41.0 dB."))
    The output has 41.0 dB.
    ✓ fine, 1 layer: fc
      → nothing to do
    """

    findings: tuple[Finding, ...]
    summary: str

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Finding, ...]: ...
    def __getitem__(self, index):
        return self.findings[index]

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def of(self, layer: str | int) -> tuple[Finding, ...]:
        """Return the findings of one layer.

        Parameters
        ----------
        layer : str or int
            Its name, or its position in the order in which layers run.

        Returns
        -------
        tuple of Finding
            Empty if there is no such layer.
        """
        return tuple(f for f in self.findings if layer in (f.layer, f.position))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the findings as plain values.

        Returns
        -------
        list of dict
            With the attributes of `Finding` as keys.
        """
        return [vars(finding).copy() for finding in self.findings]

    def to_html(self, prefix: str = "", summary: bool = True) -> str:
        """Return lists of the findings: by layer, and what weighs little by kind.

        Parameters
        ----------
        prefix : str, optional
            If given, a layer's name has the ``id`` ``f"{prefix}{position}"``.
        summary : bool, optional
            Whether to begin with the summary.

        Returns
        -------
        str
            A ``ul``, behind a ``p`` with the summary.
        """
        return findings_html(self.findings, self.summary if summary else "", prefix)

    def to_text(self, summary: bool = True) -> str:
        """Return what is printed.

        Parameters
        ----------
        summary : bool, optional
            Whether to begin with the summary.

        Returns
        -------
        str
            Lines, wrapped; names and options are not broken.
        """
        heavy, groups = split(self.findings)
        lines = [self.summary] if summary else []
        for finding in heavy[:SHOWN]:
            head = f"{MARKS[finding.severity]} {finding.where}: {finding.sentence}."
            lines += _with_advice(head, finding.advice)
        if len(heavy) > SHOWN:
            lines.append(f"... and {plural(len(heavy) - SHOWN, 'more finding')} of this weight")
        for group in groups:
            lines += _with_advice(f"{group.head}: {_names(group)}", group.advice)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return self.to_text()


def _names(group: Group) -> str:
    names = [findings[0].layer for findings in group.layers.values()]
    rest = f", and {len(names) - NAMED} more" * (len(names) > NAMED)
    return f"{', '.join(names[:NAMED])}{rest}"


def _with_advice(head: str, advice: str) -> list[str]:
    return [_wrapped(head, 2), _wrapped(f"  → {advice}", 4)]


def _wrapped(text: str, indent: int) -> str:
    whole = {"break_long_words": False, "break_on_hyphens": False}  # options can be copied
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent, **whole)
