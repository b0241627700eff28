"""What `sensitivity` returns: the layers by their cost, and a table of them."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from .._json import json_text
from .._text import as_text, plural

__all__ = ["LayerCost", "Sensitivity"]


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs if it alone is quantized.

    Attributes
    ----------
    name, selector, op, path : str
        As of a `LayerError`: the selector is one for ``QConfig.skip`` and ``calibrate_layers``.
    operations : int
        Multiplications of one sample.
    share : float
        Of the multiplications of all layers.
    sqnr_db : float
        Signal to noise ratio of the model's output, in dB; infinite if nothing changes.
    value : float
        The metric, of which more is better.
    """

    name: str
    selector: str
    op: str
    path: str
    operations: int
    share: float
    sqnr_db: float
    value: float

    @property
    def noise(self) -> float:
        """Power of the output's error, relative to that of the output."""
        return 10 ** (-self.sqnr_db / 10)


# Heading, attribute, text of the value, whether it stands to the right.
_COLUMNS: tuple[tuple[str, str, Callable[[Any], str], bool], ...] = (
    ("layer", "name", str, False),
    ("op", "op", str, False),
    ("output dB", "sqnr_db", lambda x: f"{x:.1f}", True),
    ("{metric}", "value", lambda x: f"{x:.5g}", True),
    ("of multiplications", "share", lambda x: f"{x:.1%}", True),
)


@dataclass(frozen=True, repr=False)
class Sensitivity:
    """The layers of a model, the most expensive one first. `sensitivity` makes one.

    Iterating gives the `LayerCost`; a terminal and a notebook show a table.

    Attributes
    ----------
    layers : tuple of LayerCost
    metric : str
    samples : int
        How many were looked at.

    Examples
    --------
    >>> layer = LayerCost("fc", "fc", "matmul", "fc", 640, 1.0, 31.4159, 0.9996)
    >>> found = Sensitivity((layer,), "cosine_similarity", 8)
    >>> found.rows()[0]["value"]
    0.9996
    >>> print(repr(found).splitlines()[-2])
    │ fc    │ matmul │      31.4 │            0.9996 │             100.0% │
    """

    layers: tuple[LayerCost, ...]
    metric: str
    samples: int

    def __iter__(self) -> Iterator[LayerCost]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row a layer: the fields of `LayerCost` by their names."""
        return [asdict(layer) for layer in self.layers]

    def to_json(self, indent: int | None = 2) -> str:
        """Return everything as JSON (RFC 8259); an infinite number is ``"Infinity"``.

        Parameters
        ----------
        indent : int or None, optional
            Spaces a level; None writes a single line.
        """
        document = {"metric": self.metric, "samples": self.samples, "layers": self.rows()}
        return json_text(document, indent)

    def _title(self) -> str:
        return f"One layer in int8, all else in float, on {plural(self.samples, 'sample')}"

    def _columns(self) -> list[tuple[str, str, Callable[[Any], str], bool]]:
        shown = [c for c in _COLUMNS if (c[1], self.metric) != ("value", "sqnr_db")]
        return [(heading.format(metric=self.metric), *rest) for heading, *rest in shown]

    def table(self) -> Table:
        """Return the table that is printed.

        Returns
        -------
        rich.table.Table
        """
        table = Table(title=self._title(), title_justify="left")
        for heading, _, _, right in self._columns():
            table.add_column(heading, justify="right" if right else "left", no_wrap=right)
        for layer in self.layers:
            table.add_row(*(Text(text(getattr(layer, key))) for _, key, text, _ in self._columns()))
        return table

    def __rich__(self) -> Table:
        return self.table()

    def __repr__(self) -> str:
        return as_text(self.table())

    def _repr_html_(self) -> str:
        from ..viz import table

        rows = [
            {heading: text(getattr(layer, key)) for heading, key, text, _ in self._columns()}
            for layer in self.layers
        ]
        return f"<p>{html.escape(self._title())}</p>{table(rows)._repr_html_()}"
