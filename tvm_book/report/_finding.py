"""A finding: what is known of one layer; and findings of one kind that weigh little, as a group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .._text import plural

__all__ = ["MARKS", "SEVERITIES", "Finding", "Group", "by_layer", "split"]

SEVERITIES = ("high", "medium", "low", "none")
MARKS = {"high": "▲", "medium": "△", "low": "·", "none": "✓"}
HEAVY = ("high", "medium")  # are shown one by one


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


@dataclass(frozen=True)
class Group:
    """Findings of one kind and one severity, the most important first."""

    findings: tuple[Finding, ...]

    @property
    def layers(self) -> dict[int, list[Finding]]:
        """The findings of each layer, by its position: a layer may have one for each operand."""
        return by_layer(self.findings)

    @property
    def head(self) -> str:
        """What they are, and how many layers have them."""
        first = self.findings[0]
        return f"{MARKS[first.severity]} {first.kind}, {plural(len(self.layers), 'layer')}"

    @property
    def advice(self) -> str:
        """What to do; where that differs, as an example what to do about the first."""
        first = self.findings[0]
        same = len({finding.advice for finding in self.findings}) == 1
        return first.advice if same else f"for {first.layer}: {first.advice}"


def by_layer(findings: Iterable[Finding]) -> dict[int, list[Finding]]:
    """Return the findings of each layer by its position, in the order of the first of each."""
    layers: dict[int, list[Finding]] = {}
    for finding in findings:
        layers.setdefault(finding.position, []).append(finding)
    return layers


def split(findings: Iterable[Finding]) -> tuple[list[Finding], list[Group]]:
    """Return what is shown one by one, and by kind what weighs little."""
    heavy: list[Finding] = []
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if finding.severity in HEAVY:
            heavy.append(finding)
        else:
            kinds.setdefault((finding.severity, finding.kind), []).append(finding)
    return heavy, [Group(tuple(group)) for group in kinds.values()]
