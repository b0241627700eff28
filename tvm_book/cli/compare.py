"""``tvm-book compare``: how far apart two models are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import _options
from ._command import Command
from ._data import count_samples, cut
from ._measure import COLUMNS, differences, outputs, rows
from ._models import load_or_compile
from ._npz import read_npz
from ._output import print_json, print_table
from ._types import FILE
from ._wishes import wishes_about

__all__ = ["compare"]

MISSED = 3  # exit code


EXAMPLES = (
    "tvm-book compare net.onnx out --data test.npz",
    "tvm-book compare old/model.so new/model.so --data test.npz --min-sqnr 30",
    "tvm-book compare net.pt2 out --data test.npz --json | jq '.outputs[0].cosine'",
)


@click.command(cls=Command, examples=EXAMPLES, short_help="How far apart are two models?")
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@_options.data(required=True)
@click.option("--min-cosine", type=click.FloatRange(-1, 1), help="Exit with 3 if any is below.")
@click.option("--min-sqnr", type=float, metavar="DB", help="Exit with 3 if any is below.")
@_options.batch_size
@_options.shape
@_options.isa
@_options.threads
@_options.as_json
def compare(
    a: Path,
    b: Path,
    data: tuple[Path, ...],
    min_cosine: float | None,
    min_sqnr: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Run the models A and B on data, and tell how far their outputs are apart.

    Both are .onnx, .pt2 or .so files, or folders that quantize wrote; A is the reference of the
    SQNR. Each takes the data in batches of its own size. Top-1 agreement is the share of samples
    for which both rate the same class highest; it stands for outputs (samples, classes).

    In JSON, infinite numbers are the strings "Infinity" and "-Infinity", and NaN is null.
    """
    files = {path: read_npz(path) for path in data}
    wishes = wishes_about((a, b), files, **options)
    results = []
    for path in (a, b):
        model = load_or_compile(path, wishes)
        results.append(outputs(model, model.outputs, cut(files, model.inputs)))
    found = differences(*results)
    limits = {"cosine": min_cosine, "sqnr_db": min_sqnr}
    missed = _missed(found, limits)
    samples = count_samples(files, model.inputs)
    if as_json:
        document = {"a": a, "b": b, "samples": samples, "outputs": found}
        print_json(document | {"limits": limits, "passed": not missed})
    else:
        print_table(f"{b} against {a}, {samples} samples", COLUMNS, rows(found))
    for line in missed:
        click.echo(f"threshold missed: {line}", err=True)
    if missed:
        raise click.exceptions.Exit(MISSED)


def _missed(found: list[dict[str, Any]], limits: dict[str, float | None]) -> list[str]:
    """Say which values are below their limits; NaN is below any."""
    return [
        f"{row['output']}: {key} {row[key]:.6g} is below {limit:g}"
        for row in found
        for key, limit in limits.items()
        if limit is not None and not row[key] >= limit
    ]
