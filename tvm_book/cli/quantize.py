"""``tvm-book quantize``: a float model and data in, an int8 library out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import _options
from ._command import Command
from ._folder import new_folder
from ._measure import COLUMNS, rows
from ._output import print_json, print_table, show
from ._quantizing import FLAGS, Job
from ._types import FILE, SETTING

__all__ = ["quantize"]


EXAMPLES = (
    "tvm-book quantize net.onnx --calibration data.npz -o out",
    "tvm-book quantize net.pt2 --calibration data.npz -o out --skip classifier --force",
    "tvm-book quantize net.onnx --calibration data.npz -o out --shape data=1,3,224,224",
    "tvm-book quantize net.onnx --recipe out/recipe.safetensors -o out-avx2 --isa avx2",
)


@click.command(cls=Command, examples=EXAMPLES, short_help="Make a float model int8.")
@click.argument("model", type=FILE)
@click.option(
    "--calibration",
    type=FILE,
    multiple=True,
    metavar="FILE.npz",
    help="Samples: one array for each input, under its name. May be given several times.",
)
@click.option("-o", "--output", type=FILE, required=True, help="Folder to write.")
@click.option("--force", is_flag=True, help="Replace results that are in the folder.")
@click.option(
    "--preset",
    type=click.Choice(["accurate", "relay"]),
    default="accurate",
    show_default=True,
    help="The scheme to deploy, or bit for bit that of TVM's former relay.quantize.",
)
@click.option("--calibrate-mode", metavar="MODE", help="Such as mse, minmax or percentile.")
@click.option(
    "--skip",
    multiple=True,
    metavar="LAYER",
    help="Leave it in float: a module path, a pattern, an operator, or one by its number "
    "(relax.nn.conv2d@0). May be given several times.",
)
@click.option(
    "--set",
    "settings",
    type=SETTING,
    multiple=True,
    help="Any other field of tvm_book.quantize.QConfig, in JSON: nbit_input=6.",
)
@click.option("--recipe", type=FILE, help="Quantize as this recipe says, without data.")
@click.option("--compile/--no-compile", default=True, help="Whether to write model.so.")
@click.option("--html", is_flag=True, help="Write report.html too; takes as long again.")
@_options.batch_size
@_options.shape
@_options.isa
@_options.threads
@_options.as_json
@click.pass_context
def quantize(
    ctx: click.Context,
    model: Path,
    calibration: tuple[Path, ...],
    output: Path,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Quantize MODEL, an .onnx or .pt2 file, and write a folder.

    In the folder are model.so, which runs on this kind of CPU, by tvm_book.load("out/model.so")(x);
    recipe.safetensors, what was decided, for --recipe and for tvm-book report; and report.json,
    with versions, options, sizes, and how far the outputs are from float. With --html comes
    report.html, which shows each layer.

    The outputs of model.so are compared with those of the float model on the calibration data. The
    folder is complete or not there: an error or Ctrl-C leaves nothing behind.
    """
    if options["recipe"]:
        own = FLAGS | {"settings": "--set"}
        sources = {flag: ctx.get_parameter_source(name) for name, flag in own.items()}
        given = [flag for flag, source in sources.items() if source.name == "COMMANDLINE"]
        if given:
            flags = ", ".join(given)
            raise click.UsageError(f"--recipe brings the configuration: leave out {flags}")
    job = Job(model, calibration, **options)
    with new_folder(output, force) as folder:
        summary = job.run(folder)
    if as_json:
        print_json(summary)
    else:
        _tell(output, summary)


def _tell(output: Path, summary: dict[str, Any]) -> None:

    sizes = ", ".join(f"{name} {size / 1024:.0f} KiB" for name, size in summary["bytes"].items())
    show(f"{output}: {sizes}")
    layers = summary["layers"]
    show(f"{layers['int8']} of {layers['all']} operators quantized")
    if summary["check"] is None:
        show("not compared with the float model: there is no --calibration data")
    else:
        title = f"against float, {summary['samples']} samples"
        print_table(title, COLUMNS, rows(summary["check"]))
