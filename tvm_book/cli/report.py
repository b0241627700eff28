"""``tvm-book report``: which layers lose accuracy, and why."""

from __future__ import annotations

from pathlib import Path

import click

from . import _options
from ._command import Command
from ._data import cut
from ._models import read_float, read_recipe
from ._npz import read_npz
from ._output import print_json, show
from ._progress import stage
from ._types import FILE
from ._wishes import Wishes

__all__ = ["report"]


EXAMPLES = (
    "tvm-book report net.onnx out --data data.npz",
    "tvm-book report net.onnx out --data data.npz --html report.html",
    "tvm-book report net.onnx out --data data.npz --json | jq '.layers[].isolated_sqnr_db'",
)


@click.command(cls=Command, examples=EXAMPLES, short_help="Which layers lose accuracy, and why.")
@click.argument("model", type=FILE)
@click.argument("recipe", type=FILE, metavar="OUT_OR_RECIPE")
@_options.data(required=True)
@click.option("--html", type=FILE, help="Write the report as a page of its own.")
@click.option("--force", is_flag=True, help="Replace the page if it exists.")
@_options.as_json
def report(
    model: Path,
    recipe: Path,
    data: tuple[Path, ...],
    html: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show layer by layer how far the quantized MODEL is from float, and say what to do.

    MODEL is the .onnx or .pt2 file that was quantized, OUT_OR_RECIPE the folder that quantize
    wrote, its model.so or its recipe.safetensors.
    """
    from .._files import check_destination
    from ..report import layerwise

    if html:
        check_destination(html, overwrite=force)  # before the work, not after it
    files = {path: read_npz(path) for path in data}
    steps = read_recipe(recipe)
    with stage(f"importing {model}"):
        shapes = {spec.name: spec.shape for spec in steps.inputs}
        source = read_float(model, Wishes(like=shapes))
    batches = cut(files, source.inputs)
    with stage("measuring"):
        found = layerwise(source.mod, data=batches, params=source.params, recipe=steps)
    if html:
        found.to_html(html, overwrite=force)
    if as_json:
        print_json(found.to_dict())
    else:
        show(found, "", found.explain().to_text(summary=False))
