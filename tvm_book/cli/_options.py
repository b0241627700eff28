"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ._types import FILE, SHAPE

__all__ = ["as_json", "batch_size", "data", "isa", "shape", "threads"]


def data(required: bool, several: bool = True) -> Callable[..., Any]:
    """Make the option ``--data``; whether it may be given several times, its command checks."""
    return click.option(
        "--data",
        type=FILE,
        multiple=True,
        required=required,
        metavar="FILE.npz",
        help="Samples: one array for each input, under its name."
        + " May be given several times." * several,
    )


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
batch_size = click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    help="Size of first axes that are dynamic in the model.  [default: 1]",
)
shape = click.option(
    "--shape",
    "shapes",
    type=SHAPE,
    multiple=True,
    help="Shape of an input that is dynamic in the model; by default that of the data.",
)
isa = click.option(
    "--isa",
    metavar="LEVEL",
    help="Instruction set of the kernels, such as avx512-vnni, avx2 or portable; by default the "
    "best of this CPU. `tvm-book info` lists them.",
)
threads = click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Threads of a run.  [default: TVM_NUM_THREADS, else all cores]",
)
