"""How good a signal to noise ratio is: five grades, their names and colours."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["FAIR", "GOOD", "GRADES", "UNKNOWN", "Grade", "grade", "severity", "sqnr_text"]

# Amplitudes, in dB: an error of a hundredth, a 32nd, a tenth, and a third of the signal. The first
# is also what 256 evenly spaced steps give of a normal distribution at best (40.3 dB: J. Max,
# "Quantizing for Minimum Distortion", IRE Transactions on Information Theory, 1960).
EXCELLENT, GOOD, FAIR, POOR = 40.0, 30.0, 20.0, 10.0


class Grade(NamedTuple):
    """A range of signal to noise ratios.

    Parameters
    ----------
    name : str
    least : float
        In dB; the grade above begins where this one ends.
    fill, ink : str
        Colours of a box and of what is written in it.
    """

    name: str
    least: float
    fill: str
    ink: str


# RdYlBu of ColorBrewer, which the colour-blind can tell apart too; ink has a contrast of 4.5 to 1.
GRADES = (
    Grade("excellent", EXCELLENT, "#4575b4", "#ffffff"),
    Grade("good", GOOD, "#91bfdb", "#1a1a1a"),
    Grade("fair", FAIR, "#fee090", "#1a1a1a"),
    Grade("poor", POOR, "#fc8d59", "#1a1a1a"),
    Grade("bad", -math.inf, "#d73027", "#ffffff"),
)
UNKNOWN = Grade("unknown", math.nan, "#b9bcc0", "#1a1a1a")


def grade(sqnr_db: float) -> Grade:
    """Return the grade of a signal to noise ratio.

    Examples
    --------
    >>> [grade(value).name for value in (float("inf"), 40, 31, 20, 12, 9.9, float("nan"))]
    ['excellent', 'excellent', 'good', 'fair', 'poor', 'bad', 'unknown']
    """
    return next((each for each in GRADES if sqnr_db >= each.least), UNKNOWN)


def severity(sqnr_db: float) -> str:
    """Return how much an error weighs, by its size.

    Examples
    --------
    >>> [severity(value) for value in (12.0, 20.0, 29.9, 30.0, float("nan"))]
    ['high', 'medium', 'medium', 'low', 'low']
    """
    return "high" if sqnr_db < FAIR else "medium" if sqnr_db < GOOD else "low"


def sqnr_text(sqnr_db: float) -> str:
    """Write a signal to noise ratio with a tenth of a dB.

    Examples
    --------
    >>> [sqnr_text(value) for value in (31.41, -0.04, float("inf"), float("-inf"), float("nan"))]
    ['31.4', '0.0', '∞', '−∞', '?']
    """
    if math.isinf(sqnr_db):
        return "∞" if sqnr_db > 0 else "−∞"
    return "?" if math.isnan(sqnr_db) else f"{sqnr_db + 0.0:.1f}".replace("-0.0", "0.0")
