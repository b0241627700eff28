"""Findings as HTML: a list by layer of what weighs much, then one item for each other kind."""

from __future__ import annotations

import html
from collections.abc import Iterable

from ._finding import MARKS, Finding, Group, by_layer, split

__all__ = ["findings_html"]


def findings_html(findings: Iterable[Finding], summary: str, prefix: str) -> str:
    """Return lists of findings.

    Parameters
    ----------
    findings : iterable of Finding
        The most important first.
    summary : str
        Stands before them, unless it is empty.
    prefix : str
        Unless it is empty, a layer's name has the ``id`` ``f"{prefix}{position}"``.
    """
    heavy, groups = split(findings)
    anchors = _Anchors(prefix)
    items = [_layer_item(layer, anchors) for layer in by_layer(heavy).values()]
    items += [_group_item(group, anchors) for group in groups]
    head = f"<p>{html.escape(summary)}</p>" if summary else ""
    return f"{head}<ul>{''.join(items)}</ul>"


class _Anchors:
    """Names of layers, to the first of each of which links lead: an id may stand once."""

    def __init__(self, prefix: str):
        self._prefix = prefix
        self._named: set[int] = set()

    def name(self, tag: str, finding: Finding, text: str) -> str:
        new = bool(self._prefix) and finding.position not in self._named
        self._named.add(finding.position)
        anchor = f' id="{html.escape(self._prefix)}{finding.position}"' if new else ""
        return f"<{tag}{anchor}>{html.escape(text)}</{tag}>"


def _layer_item(findings: list[Finding], anchors: _Anchors) -> str:
    parts = [
        f"<li>{html.escape(f'{MARKS[f.severity]} {f.kind}, {f.severity}: {f.sentence}.')} "
        f"<em>→ {html.escape(f.advice)}</em></li>"
        for f in findings
    ]
    first = findings[0]
    return f"<li>{anchors.name('strong', first, first.where)}<ul>{''.join(parts)}</ul></li>"


def _group_item(group: Group, anchors: _Anchors) -> str:
    layers = []
    for _, findings in sorted(group.layers.items()):
        said = html.escape("; ".join(finding.sentence for finding in findings))
        name = anchors.name("span", findings[0], findings[0].layer)
        layers.append(f'<span title="{said}">{name}</span>')
    head, advice = html.escape(group.head), html.escape(group.advice)
    return f"<li>{head}: {', '.join(layers)} <em>→ {advice}</em></li>"
