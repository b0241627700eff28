"""What `sensitivity` returns: the layers by their cost, and a table of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from .._json import json_text
from .._text import as_text, plural
from ._result_table import Column, result_html, result_table

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


_COLUMNS: tuple[Column[LayerCost], ...] = (
    ("layer", lambda cost: cost.name, False),
    ("op", lambda cost: cost.op, False),
    ("output dB", lambda cost: f"{cost.sqnr_db:.1f}", True),
    ("{metric}", lambda cost: f"{cost.value:.5g}", True),
    ("of multiplications", lambda cost: f"{cost.share:.1%}", True),
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

    def _columns(self) -> list[Column[LayerCost]]:
        shown = [c for c in _COLUMNS if (c[0], self.metric) != ("{metric}", "sqnr_db")]
        return [(heading.format(metric=self.metric), *rest) for heading, *rest in shown]

    def table(self) -> Table:
        """Return the table that is printed.

        Returns
        -------
        rich.table.Table
        """
        return result_table(self._title(), self._columns(), self.layers)

    def __rich__(self) -> Table:
        return self.table()

    def __repr__(self) -> str:
        return as_text(self.table())

    def _repr_html_(self) -> str:
        return result_html(self._title(), self._columns(), self.layers)
