"""A network drawn as SVG: a box a layer, coloured by its error."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass

from .._files import write_file
from .._text import shape_text
from ..quantize._layer_error import LayerError, LayerErrors
from ..viz._style import TEXT
from ._edges import edges_of, order_of
from ._grades import GRADES, grade, sqnr_text
from ._layout import HEIGHT, Layout, Line, Point, fold
from ._names import cut, plain, short_names

__all__ = ["ERRORS", "Network", "draw"]

ERRORS = {
    "isolated": "error that each layer makes itself",
    "accumulated": "error of each result, with all before it",
}
LETTER = 6.3  # pixels, of a bold font of 10
OPERATOR = 20  # letters of an operator
LONGEST = 22  # letters of a name
PILL = 18  # height of an input or output
LEGEND = 46  # pixels above the network
SWATCH = 108  # pixels for a grade in the legend


@dataclass(frozen=True, repr=False)
class Network:
    """A picture of a network that a notebook shows.

    Attributes
    ----------
    svg : str
        The picture; it has no background, and its colours are made for light and dark ones.
    """

    svg: str

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x: auto">{self.svg}</div>'

    def __repr__(self) -> str:
        return "<Network: a notebook shows it, .save(path) writes it>"

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the picture.

        Parameters
        ----------
        path : str or path-like
            The ``.svg`` file.
        overwrite : bool, optional
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError
            The file exists and ``overwrite`` is False, or is at no place for a file.
        """
        write_file(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{self.svg}\n', overwrite)


def draw(errors: LayerErrors, error: str = "isolated", prefix: str = "") -> Network:
    """Draw the layers of a record, each below what it reads.

    Parameters
    ----------
    errors : LayerErrors
    error : str, optional
        By which error boxes are coloured: a key of `ERRORS`.
    prefix : str, optional
        If given, a box is a link to ``f"#{prefix}{position}"``.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        There is no such error.
    ImportError
        igraph is not installed.
    """
    if error not in ERRORS:
        raise ValueError(f"error is {error!r}; choose from {', '.join(ERRORS)}")
    labels = short_names([layer.path or layer.name for layer in errors.layers], LONGEST)
    pills, edges, hidden = edges_of(errors)
    count = len(errors.layers) + len(pills)
    order = order_of(count, edges)
    seconds = [_second_line(layer, error) for layer in errors.layers]
    letters = [9, *map(len, labels), *(0.85 * len(text) for text in seconds)]
    width = max(letters) * LETTER + 12
    numbered = [(order[a], order[b]) for a, b in edges]
    layout = fold(count, numbered, width, SWATCH * len(GRADES) + 20) if count else _EMPTY
    places = [layout.boxes[order[number]] for number in range(count)]
    back = {new: old for old, new in order.items()}
    shapes = [_line(line, back, len(errors.layers)) for line in layout.lines]
    for position, layer in enumerate(errors.layers):
        box = _box(layer, (labels[position], seconds[position]), places[position], width, error)
        link = f'<a href="#{html.escape(prefix)}{position}">{box}</a>' if prefix else box
        shapes.append(link)
    shapes += [
        _pill(pill, place) for pill, place in zip(pills, places[len(errors.layers) :], strict=True)
    ]
    size = f'width="{layout.width:.0f}" height="{layout.height + LEGEND:.0f}"'
    view = f'viewBox="0 0 {layout.width:.0f} {layout.height + LEGEND:.0f}"'
    title = f"Network of {len(errors.layers)} layers, by the {ERRORS[error]}"
    return Network(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} role="img" '
        f'font-family="system-ui, sans-serif" font-size="10"><title>{html.escape(title)}</title>'
        f"{_legend(error, hidden)}"
        f'<g transform="translate(0 {LEGEND})">{"".join(shapes)}</g></svg>'
    )


_EMPTY = Layout((), (), SWATCH * len(GRADES) + 20, 10)


def _second_line(layer: LayerError, error: str) -> str:
    """Return the error, and the operator unless the first line already has it."""
    value = f"{sqnr_text(getattr(layer, f'{error}_sqnr_db'))} dB"
    named = plain(layer.path or layer.name).startswith(f"{layer.op}@")
    return value if named else f"{cut(layer.op, OPERATOR)} · {value}"


def _box(layer: LayerError, lines: tuple[str, str], place: Point, width: float, error: str) -> str:
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


def _tooltip(layer: LayerError) -> str:
    lines = [
        f"{layer.name} ({layer.op}), {shape_text(layer.shape)}",
        *([f"in {layer.path}"] if layer.path not in ("", layer.name) else []),
        f"isolated: {sqnr_text(layer.isolated_sqnr_db)} dB, cosine {layer.isolated_cosine:.5f}",
        f"accumulated: {sqnr_text(layer.accumulated_sqnr_db)} dB, "
        f"cosine {layer.accumulated_cosine:.5f}",
    ]
    return "\n".join(lines)


def _pill(name: str, place: Point) -> str:
    x, y = place
    return (
        f'<g class="{name}"><rect x="{x - 25:.1f}" y="{y - PILL / 2:.1f}" width="50" '
        f'height="{PILL}" rx="9" fill="none" stroke="{TEXT}"/><text x="{x:.1f}" '
        f'y="{y + 3.5:.1f}" text-anchor="middle" fill="{TEXT}">{name}</text></g>'
    )


def _line(line: Line, back: dict[int, int], layers: int) -> str:
    """Draw an edge: curves from rank to rank, corners where it changes the column."""
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


def _legend(error: str, hidden: int) -> str:
    rest = f" ({hidden} lines that follow from others are left out)" if hidden else ""
    parts = [f'<text x="10" y="14" fill="{TEXT}">SQNR: {ERRORS[error]}{rest}</text>']
    for number, each in enumerate(GRADES):
        x = 10 + SWATCH * number
        bound = f"≥ {each.least:.0f} dB" if each.least > 0 else f"< {GRADES[-2].least:.0f} dB"
        parts.append(
            f'<rect x="{x}" y="22" width="14" height="14" rx="3" fill="{each.fill}" '
            f'stroke="{TEXT}"/><text x="{x + 18}" y="33" fill="{TEXT}" font-size="9">'
            f"{html.escape(f'{each.name} {bound}')}</text>"
        )
    return f'<g class="legend">{"".join(parts)}</g>'
