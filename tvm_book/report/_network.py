"""A network as a picture: a box a layer, coloured by its error."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass

from .._files import write_file
from .._text import cut_front, plural
from ..quantize._layer_error import LayerError, LayerErrors
from ._edges import edges_of, order_of
from ._grades import sqnr_text
from ._layout import Layout, fold
from ._names import plain, short_names
from ._svg import LEGEND_WIDTH, box, edge, legend, picture, pill

__all__ = ["ERRORS", "Network", "draw"]

ERRORS = {
    "isolated": "error that each layer makes itself",
    "accumulated": "error of each result, with all before it",
}
LETTER = 6.3  # pixels, of a bold font of 10
OPERATOR = 20  # letters of an operator
LONGEST = 22  # letters of a name
EMPTY = Layout((), (), LEGEND_WIDTH, 10)


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
    layout = fold(count, numbered, width, LEGEND_WIDTH) if count else EMPTY
    places = [layout.boxes[order[number]] for number in range(count)]
    back = {new: old for old, new in order.items()}
    shapes = [edge(line, back, len(errors.layers)) for line in layout.lines]
    for position, layer in enumerate(errors.layers):
        shape = box(layer, (labels[position], seconds[position]), places[position], width, error)
        link = f'<a href="#{html.escape(prefix)}{position}">{shape}</a>' if prefix else shape
        shapes.append(link)
    shapes += map(pill, pills, places[len(errors.layers) :])
    title = f"Network of {plural(len(errors.layers), 'layer')}, by the {ERRORS[error]}"
    key = legend(ERRORS[error], hidden)
    return Network(picture(title, key, shapes, layout.width, layout.height))


def _second_line(layer: LayerError, error: str) -> str:
    """Return the error, and the operator unless the first line already has it."""
    value = f"{sqnr_text(getattr(layer, f'{error}_sqnr_db'))} dB"
    named = plain(layer.path or layer.name).startswith(f"{layer.op}@")
    return value if named else f"{cut_front(layer.op, OPERATOR)} · {value}"
