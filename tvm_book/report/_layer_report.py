"""`LayerReport`: the errors of a model's layers, for people and for programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from rich.console import Console, ConsoleOptions
from rich.table import Table

from .._files import check_destination, write_file
from .._json import json_text
from .._text import as_text, plural
from ..quantize._layer_error import LayerErrors
from ..viz import plot_layer_errors
from ._columns import ordered
from ._explain import explain
from ._explanation import Explanation
from ._grades import FAIR, GOOD
from ._names import plain
from ._network import Network, draw
from ._page import in_notebook, whole_page
from ._rows import document, layer_rows, operand_rows
from ._table import fitting_table, rich_table

if TYPE_CHECKING:
    import pandas

__all__ = ["LayerReport"]


@dataclass(frozen=True, repr=False)
class LayerReport:
    """Where a quantized model loses accuracy. `tvm_book.report.layerwise` makes one.

    In a terminal and in a notebook it shows itself as a table: a row a layer, in the order in which
    they run. ``isolated dB`` is the signal to noise ratio of a layer whose operands are rounded and
    before which all is float, ``accumulated dB`` that of the same result in the quantized model;
    ``clipped`` is the largest share of an operand that lies beyond its grid, ``steps used`` the
    smallest share of a grid that values reach, ``of int32`` how far its sums go, and ``finding``
    what `explain` says first.

    Parameters
    ----------
    errors : tvm_book.quantize.LayerErrors

    Raises
    ------
    TypeError
        ``errors`` is something else.

    Examples
    --------
    >>> import numpy as np
    >>> from tvm_book.quantize._layer_error import LayerError, LayerErrors, Operand
    >>> x = Operand("input", "x", np.float32(0.5), 0, -128, 127, -9.0, 80.0, 0.05, 1.0, np.ones(4))
    >>> layer = LayerError(
    ...     "fc", "fc", "matmul", "fc", (1, 10), 17.0, 0.99, 17.0, 0.99, (x,), 0.1, (-1,)
    ... )
    >>> report = LayerReport(LayerErrors((layer,), 17.0, 0.99, (0,), samples=8))
    >>> print(report.explain())
    The output has 17.0 dB (cosine 0.9900), which is poor, on 8 samples through 1 layer.
    ▲ fc: 5.0% of its input from x is clipped: the grid ends at -64 and 63.5, the values at
      -9 and 80.
      → calibrate on data like these; calibrate_layers={'fc': "minmax"} keeps every value
        that calibration saw
    ▲ fc: its error is made here: 17.0 dB alone, 17.0 dB with all before it.
      → qconfig(skip=['fc']) keeps it in float, if nothing else is found here
    >>> report.rows()[0]["finding"], report.rows()[0]["saturated"]
    ('clipped', 0.05)
    """

    errors: LayerErrors

    def __post_init__(self):
        if not isinstance(self.errors, LayerErrors):
            raise TypeError(
                f"errors is a {type(self.errors).__name__}; pass what quantize.layer_errors returns"
            )

    def rows(self) -> list[dict[str, Any]]:
        """Return a row a layer, as plain Python values; what is unknown is NaN.

        Returns
        -------
        list of dict
            With the keys ``position``, ``layer``, ``op``, ``path``, ``selector``, ``shape``,
            ``isolated_sqnr_db``, ``isolated_cosine``, ``accumulated_sqnr_db``,
            ``accumulated_cosine``, ``scale`` (of its first operand that is no weight),
            ``saturated`` (the largest of its operands), ``used`` (the smallest), ``accumulator``,
            ``operations``, ``reads``, ``finding`` and ``severity`` (of the most important finding).
        """
        return layer_rows(self.errors, self.explain())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON has: NaN is None, infinities are strings.

        Returns
        -------
        dict
            With the keys ``format``, ``samples``, ``output_sqnr_db``, ``output_cosine``,
            ``outputs``, ``layers`` (as `rows`, and with the ``operands`` of each) and ``findings``.
            An infinite number is ``"Infinity"`` or ``"-Infinity"``, which ``float`` reads.
        """
        return document(self.errors, self.explain())

    def to_json(self, indent: int | None = 2) -> str:
        """Return `to_dict` as JSON (RFC 8259).

        Parameters
        ----------
        indent : int or None, optional
            Spaces a level; None writes a single line.
        """
        return json_text(self.to_dict(), indent)

    def frame(self, of: str = "layers") -> pandas.DataFrame:
        """Return a table for pandas.

        Parameters
        ----------
        of : str, optional
            ``"layers"``: a row a layer, with the columns of `rows`; ``"operands"``: a row for each
            rounded tensor that a layer reads.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            pandas is not installed.
        ValueError
            ``of`` is something else.
        """
        if of not in ("layers", "operands"):
            raise ValueError(f"of is {of!r}; choose 'layers' or 'operands'")
        try:
            import pandas
        except ImportError as error:
            raise ImportError('a frame needs pandas: pip install "tvm-book[report]"') from error
        return pandas.DataFrame(self.rows() if of == "layers" else operand_rows(self.errors))

    def table(self, limit: int | None = None, sort: str | None = None) -> Table:
        """Return the table that is printed.

        Parameters
        ----------
        limit : int, optional
            Rows at most.
        sort : str, optional
            The worst first, by a key of `rows`: ``"isolated_sqnr_db"``, ``"isolated_cosine"``,
            ``"accumulated_sqnr_db"``, ``"accumulated_cosine"``, ``"used"``, ``"saturated"``,
            ``"accumulator"`` or ``"operations"``. By default the order in which layers run.

        Returns
        -------
        rich.table.Table

        Raises
        ------
        ValueError
            There is no such column, or ``limit`` is negative.
        """
        rows, total = ordered(self.rows(), sort, limit), len(self.errors.layers)
        part = "" if len(rows) == total else f" {len(rows)} of {plural(total, 'layer')}:"
        return rich_table(rows, f"{self.explain().summary}{part}")

    def explain(self) -> Explanation:
        """Say in words what is wrong with which layer, and what to do.

        Returns
        -------
        Explanation
            A sequence of `Finding`, the most important first.
        """
        return explain(self.errors)

    def plot(self) -> Figure:
        """Draw isolated and accumulated signal to noise ratios along the network.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            There is no quantized layer.
        """
        layers = self.errors.layers
        values = {
            "isolated": [layer.isolated_sqnr_db for layer in layers],
            "accumulated": [layer.accumulated_sqnr_db for layer in layers],
        }
        bounds = {"good": GOOD, "fair": FAIR}
        return plot_layer_errors([plain(layer.name) for layer in layers], values, bounds)

    def network(self, error: str = "isolated") -> Network:
        """Draw the network: a box a layer, coloured by its error, with lines from what it reads.

        Parameters
        ----------
        error : str, optional
            ``"isolated"`` or ``"accumulated"``.

        Returns
        -------
        Network
            A notebook shows it; ``.svg`` is its text and ``.save(path)`` writes it.

        Raises
        ------
        ImportError
            igraph is not installed.
        ValueError
            There is no such error.
        """
        return draw(self.errors, error)

    def to_html(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a page with the table, the network and the explanation, which needs no other file.

        Without igraph, the page says in the network's place how to install it.

        Parameters
        ----------
        path : str or path-like
            The ``.html`` file.
        overwrite : bool, optional
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError
            The file exists and ``overwrite`` is False, or is at no place for a file.
        """
        check_destination(path, overwrite)  # before the work, not after it
        write_file(path, whole_page(self.errors, self.rows(), self.explain()), overwrite)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        yield fitting_table(self.rows(), self.explain().summary, console, options)

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return in_notebook(self.errors, self.rows(), self.explain())
