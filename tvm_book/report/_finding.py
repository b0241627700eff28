"""What `LayerReport.explain` returns: findings in words, the most important first."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from .._text import plural

__all__ = ["SEVERITIES", "Explanation", "Finding"]

SEVERITIES = ("high", "medium", "low", "none")
MARKS = {"high": "▲", "medium": "△", "low": "·", "none": "✓"}
SHOWN = 20  # findings in full; what follows is counted
NAMED = 6  # layers that share a finding of little weight, and are named
WIDTH = 88


@dataclass(frozen=True)
class Finding:
    """One thing that is known of one layer, and what to do about it.

    Attributes
    ----------
    layer : str
        Its name.
    position : int
        Of the layer in the list of layers.
    kind : str
        Key of the rule that found it, such as ``"clipped"``.
    severity : str
        ``"high"``, ``"medium"``, ``"low"`` or ``"none"``: how much error the layer itself makes.
    sentence : str
        What was seen, with the numbers.
    advice : str
        What to do, with the option's name.
    path : str
        Of the layer in the source model, ``""`` if it is not known.
    """

    layer: str
    position: int
    kind: str
    severity: str
    sentence: str
    advice: str
    path: str = ""

    @property
    def where(self) -> str:
        """The layer's name, and its path if that tells more."""
        return self.layer if self.path in ("", self.layer) else f"{self.layer} in {self.path}"


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
        """Return the findings of one layer, meant by its name or its position."""
        return tuple(f for f in self.findings if layer in (f.layer, f.position))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the findings as plain values."""
        return [vars(finding).copy() for finding in self.findings]

    def __repr__(self) -> str:
        heavy, light = self._split()
        lines = [self.summary]
        for finding in heavy[:SHOWN]:
            head = f"{MARKS[finding.severity]} {finding.where}: {finding.sentence}."
            lines += [_wrapped(head), _wrapped(f"  → {finding.advice}", 4)]
        if len(heavy) > SHOWN:
            lines.append(f"... and {plural(len(heavy) - SHOWN, 'more finding')} of this weight")
        for findings in light:
            lines += [_wrapped(_group(findings)), _wrapped(f"  → {_shared(findings)}", 4)]
        return "\n".join(lines)

    def _split(self) -> tuple[list[Finding], list[list[Finding]]]:
        """Return what is shown one by one, and by kind what weighs little."""
        heavy = [f for f in self.findings if f.severity in ("high", "medium")]
        kinds: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            if finding.severity in ("low", "none"):
                kinds.setdefault((finding.severity, finding.kind), []).append(finding)
        return heavy, list(kinds.values())

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self, prefix: str = "", summary: bool = True) -> str:
        """Return lists of the findings: by layer, and what weighs little by kind.

        Parameters
        ----------
        prefix : str, optional
            If given, a layer's name has the ``id`` ``f"{prefix}{position}"``.
        summary : bool, optional
            Whether to begin with the summary.
        """
        heavy, light = self._split()
        layers: dict[int, list[Finding]] = {}
        for finding in heavy:
            layers.setdefault(finding.position, []).append(finding)
        named: set[int] = set()  # an id may stand once
        items = [_item(findings, prefix, named) for findings in layers.values()]
        items += [_group_item(findings, prefix, named) for findings in light]
        head = f"<p>{html.escape(self.summary)}</p>" if summary else ""
        return f"{head}<ul>{''.join(items)}</ul>"


def _item(findings: list[Finding], prefix: str, named: set[int]) -> str:
    parts = [
        f"<li>{html.escape(f'{MARKS[f.severity]} {f.kind}, {f.severity}: {f.sentence}.')} "
        f"<em>→ {html.escape(f.advice)}</em></li>"
        for f in findings
    ]
    return f"<li>{_anchor(findings[0], prefix, named, 'strong')}<ul>{''.join(parts)}</ul></li>"


def _group_item(findings: list[Finding], prefix: str, named: set[int]) -> str:
    first = findings[0]
    head = f"{MARKS[first.severity]} {first.kind}, {plural(len(findings), 'layer')}: "
    layers = [
        f'<span title="{html.escape(f.sentence)}">{_anchor(f, prefix, named, "span")}</span>'
        for f in sorted(findings, key=lambda f: f.position)
    ]
    advice = html.escape(_shared(findings))
    return f"<li>{html.escape(head)}{', '.join(layers)} <em>→ {advice}</em></li>"


def _anchor(finding: Finding, prefix: str, named: set[int], tag: str) -> str:
    """Return a layer's name, as a place to which links lead if it is the first such place."""
    new = bool(prefix) and finding.position not in named
    named.add(finding.position)
    name = f' id="{html.escape(prefix)}{finding.position}"' if new else ""
    text = finding.where if tag == "strong" else finding.layer
    return f"<{tag}{name}>{html.escape(text)}</{tag}>"


def _wrapped(text: str, indent: int = 2) -> str:
    whole = {"break_long_words": False, "break_on_hyphens": False}  # options can be copied
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent, **whole)


def _group(findings: list[Finding]) -> str:
    names = [finding.layer for finding in findings]
    rest = f", and {len(names) - NAMED} more" * (len(names) > NAMED)
    first = findings[0]
    count = plural(len(names), "layer")
    return f"{MARKS[first.severity]} {first.kind}, {count}: {', '.join(names[:NAMED])}{rest}"


def _shared(findings: list[Finding]) -> str:
    """Return the advice of the first one; those of the others differ in the layer's name alone."""
    first = findings[0]
    same = len({finding.advice for finding in findings}) == 1
    return first.advice if same else f"for {first.layer}: {first.advice}"
