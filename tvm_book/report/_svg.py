"""The shapes of a drawn network as SVG, on light and on dark pages."""

from __future__ import annotations

import html
from collections.abc import Iterable

from .._text import shape_text
from ..quantize._layer_error import LayerError
from ..viz._style import TEXT
from ._grades import GRADES, grade, sqnr_text
from ._layout import HEIGHT, Line, Point

__all__ = ["LEGEND_WIDTH", "box", "edge", "legend", "picture", "pill"]

PILL = 18  # height of an input or output
SWATCH = 108  # pixels for a grade in the legend
LEGEND_WIDTH = SWATCH * len(GRADES) + 20
LEGEND_HEIGHT = 46  # above the network


def picture(title: str, key: str, shapes: Iterable[str], width: float, height: float) -> str:
    """Return a whole picture: the legend, and below it the shapes, which take so much room."""
    size = f'width="{width:.0f}" height="{height + LEGEND_HEIGHT:.0f}"'
    view = f'viewBox="0 0 {width:.0f} {height + LEGEND_HEIGHT:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} role="img" '
        f'font-family="system-ui, sans-serif" font-size="10"><title>{html.escape(title)}</title>'
        f'{key}<g transform="translate(0 {LEGEND_HEIGHT})">{"".join(shapes)}</g></svg>'
    )


def box(layer: LayerError, lines: tuple[str, str], place: Point, width: float, error: str) -> str:
    """Draw a layer with two lines of text, in the colour of its error."""
    fill, ink = grade(getattr(layer, f"{error}_sqnr_db"))[2:]
    x, y = place
    text = f'text-anchor="middle" fill="{ink}"'
    return (
        f'<g class="layer"><title>{html.escape(_tooltip(layer))}</title>'
        f'<rect x="{x - width / 2:.1f}" y="{y - HEIGHT / 2:.1f}" width="{width:.1f}" '
        f'height="{HEIGHT}" rx="5" fill="{fill}" stroke="{TEXT}"/>'
        f'<text x="{x:.1f}" y="{y - 3:.1f}" {text} font-weight="600">{html.escape(lines[0])}</text>'
        f'<text x="{x:.1f}" y="{y + 10:.1f}" {text} font-size="9">'
        f"{html.escape(lines[1])}</text></g>"
    )


def pill(name: str, place: Point) -> str:
    """Draw an input or output of the network."""
    x, y = place
    return (
        f'<g class="{name}"><rect x="{x - 25:.1f}" y="{y - PILL / 2:.1f}" width="50" '
        f'height="{PILL}" rx="9" fill="none" stroke="{TEXT}"/><text x="{x:.1f}" '
        f'y="{y + 3.5:.1f}" text-anchor="middle" fill="{TEXT}">{name}</text></g>'
    )


def edge(line: Line, back: dict[int, int], layers: int) -> str:
    """Draw a line: curves from rank to rank, corners where it changes the column.

    Parameters
    ----------
    line : Line
    back : dict from int to int
        From the number of a box in the layout to that of the layer, or of a pill behind the layers.
    layers : int
        How many there are.
    """
    source, target = back[line.source], back[line.target]
    (x, y), *rest = line.points
    y += HEIGHT / 2 if source < layers else PILL / 2
    steps = [f"M{x:.1f} {y:.1f}"]
    for number, (to_x, to_y) in enumerate(rest):
        last = number == len(rest) - 1
        end = to_y - (HEIGHT if target < layers else PILL) / 2 if last else to_y
        if to_x == x or to_y == y:
            steps.append(f"L{to_x:.1f} {end:.1f}")
        else:
            middle = (y + end) / 2
            steps.append(f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {end:.1f}")
        x, y = to_x, end
    tip = f"M{x - 3:.1f} {y - 5:.1f}L{x:.1f} {y:.1f}L{x + 3:.1f} {y - 5:.1f}"
    return (
        f'<path class="edge" data-edge="{source} {target}" d="{"".join(steps)}{tip}" '
        f'fill="none" stroke="{TEXT}" stroke-linejoin="round"/>'
    )


def legend(meaning: str, hidden: int) -> str:
    """Draw the grades, and say what their colours are about and how many lines are left out."""
    rest = f" ({hidden} lines that follow from others are left out)" if hidden else ""
    parts = [f'<text x="10" y="14" fill="{TEXT}">SQNR: {meaning}{rest}</text>']
    for number, each in enumerate(GRADES):
        x = 10 + SWATCH * number
        bound = f"≥ {each.least:.0f} dB" if each.least > 0 else f"< {GRADES[-2].least:.0f} dB"
        parts.append(
            f'<rect x="{x}" y="22" width="14" height="14" rx="3" fill="{each.fill}" '
            f'stroke="{TEXT}"/><text x="{x + 18}" y="33" fill="{TEXT}" font-size="9">'
            f"{html.escape(f'{each.name} {bound}')}</text>"
        )
    return f'<g class="legend">{"".join(parts)}</g>'


def _tooltip(layer: LayerError) -> str:
    lines = [
        f"{layer.name} ({layer.op}), {shape_text(layer.shape)}",
        *([f"in {layer.path}"] if layer.path not in ("", layer.name) else []),
        f"isolated: {sqnr_text(layer.isolated_sqnr_db)} dB, cosine {layer.isolated_cosine:.5f}",
        f"accumulated: {sqnr_text(layer.accumulated_sqnr_db)} dB, "
        f"cosine {layer.accumulated_cosine:.5f}",
    ]
    return "\n".join(lines)
