"""`sensitivity`: what quantizing each layer alone costs at the output of the model."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tvm
from rich.table import Table
from rich.text import Text
from tvm import IRModule

from .._text import as_text, plural
from ..testing.metric import sqnr_db
from ._find_layers import operations
from ._metric import metric_of, plain
from ._passes import annotate_passes
from ._subject import check_subject
from .bias_correction import first_batches
from .calibrate import Calibrate
from .calibrate._modes import looks_at_data
from .calibrate._progress import track
from .config import QConfig

if TYPE_CHECKING:
    from ._alone import Alone

__all__ = ["LayerCost", "Sensitivity", "sensitivity"]


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
        rows = [{key: plain(x) for key, x in row.items()} for row in self.rows()]
        document = {"metric": self.metric, "samples": self.samples, "layers": rows}
        return json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)

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


def sensitivity(
    mod: IRModule,
    params: Mapping[str, Any] | None = None,
    dataset: Iterable[Mapping[str, Any]] | None = None,
    config: QConfig | None = None,
    *,
    metric: str | Callable[..., Any] = "sqnr_db",
    evaluation: Iterable[Mapping[str, Any]] | None = None,
) -> Sensitivity:
    """Measure the error at the output that quantizing each layer alone makes.

    A layer is an operator that reads rounded tensors, as in `layer_errors`. What it reads is
    rounded, its weight compensated and its bias corrected as ``config`` says, all for itself;
    everything else is in float. That takes one run of the model, and for each layer one of what
    comes behind it.

    Parameters
    ----------
    mod, params, config
        As `quantize` takes them.
    dataset : iterable of mappings from input name to array
        To calibrate on.
    metric : str or callable (float_output, output) -> float, optional
        A further number to show: a name of `tvm_book.testing.metric`, or a function of which more
        is better.
    evaluation : iterable of mappings from input name to array, optional
        To measure on; by default ``dataset``.

    Returns
    -------
    Sensitivity
        Sorted by ``sqnr_db``, the smallest first.

    Raises
    ------
    TypeError, ValueError
        As `quantize` does; if ``main`` returns a tuple or brings its own grids, or if the metric is
        unknown or returns no number.

    Examples
    --------
    The first layer has weights that differ much, and one scale for all of them:

    >>> from tvm import relax
    >>> from tvm_book import quantize
    >>> x = relax.Var("x", relax.TensorType((8, 4), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     scales = relax.const(np.diag([1.0, 1.0, 1.0, 500.0]).astype("float32"))
    ...     y = builder.emit(relax.op.tanh(builder.emit(relax.op.matmul(x, scales))))
    ...     z = builder.emit(relax.op.matmul(y, relax.const(np.ones((4, 4), "float32"))))
    ...     _ = builder.emit_func_output(z)
    >>> config = quantize.QConfig(skip_dense_layer=False, calibrate_mode="minmax")
    >>> data = [{"x": np.random.default_rng(0).standard_normal((8, 4)).astype("float32")}]
    >>> found = sensitivity(builder.get(), None, data, config)
    >>> [layer.selector for layer in found]
    ['relax.matmul@0', 'relax.matmul@1']
    """
    from ._alone import Alone

    subject = check_subject("sensitivity", mod, params, dataset, evaluation, config)
    measure, config = metric_of(metric), subject.config
    annotated = tvm.transform.Sequential(annotate_passes(config), name="Annotate")(subject.mod)
    calibrated = Calibrate.as_pass(config, subject.dataset)(annotated)
    looked_at = first_batches(subject.dataset) if looks_at_data(config) else ()
    alone = Alone(calibrated, config, looked_at)
    return measured(alone, subject.evaluation, measure)


def measured(alone: Alone, batches: Iterable[Mapping[str, np.ndarray]], metric: Any) -> Sensitivity:
    """Compare the outputs of each layer alone with the one in float, and put the worst first."""
    layers = alone.layers
    exact, outputs = [], [[] for _ in layers]
    length = getattr(batches, "length", lambda: None)()
    with closing(track(batches if layers else (), "sensitivity", length)) as items:
        for batch in items:
            reference, found = alone.outputs(batch)
            exact.append(reference)
            for number, output in found.items():
                outputs[number].append(output)
    if not layers:
        return Sensitivity((), metric.name, 0)
    reference = np.concatenate(exact)
    counts = [operations(alone.graph.bindings[layer.var]) for layer in layers]
    costs = []
    for layer, count, parts in zip(layers, counts, outputs, strict=True):
        output = np.concatenate(parts)
        ratio = sqnr_db(reference, output)
        costs.append(
            LayerCost(
                name=layer.name,
                selector=layer.selector,
                op=layer.op,
                path=layer.path,
                operations=count,
                share=count / max(sum(counts), 1),
                sqnr_db=ratio,
                value=ratio if metric.name == "sqnr_db" else metric(reference, output),
            )
        )
    costs.sort(key=lambda cost: cost.sqnr_db)
    return Sensitivity(tuple(costs), metric.name, len(reference))
