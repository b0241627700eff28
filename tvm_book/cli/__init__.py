"""The command line, ``tvm-book`` or ``python -m tvm_book``: one file a command.

Libraries are imported inside of functions, when a command runs: help is there at once.
"""

from __future__ import annotations

import click

from .. import __version__
from ._command import Group
from .bench import bench
from .compare import compare
from .info import info
from .quantize import quantize
from .report import report

__all__ = ["main"]

BLOCKS = {
    "Examples": (
        "tvm-book quantize net.onnx --calibration data.npz -o out",
        "tvm-book report net.onnx out --data data.npz",
        "tvm-book compare net.onnx out --data test.npz --min-cosine 0.99",
        "tvm-book bench net.onnx out",
        "tvm-book info net.onnx",
    ),
    "Exit codes": (
        "0    done",
        "1    a model, its data or a file does not fit; one line on stderr says why",
        "2    the command line is wrong",
        "3    a threshold is missed (compare)",
        "130  interrupted by Ctrl-C; 143 by SIGTERM; 141 nobody reads the output",
    ),
}


@click.group(
    cls=Group,
    commands=[quantize, report, compare, bench, info],
    blocks=BLOCKS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="tvm-book")
def main() -> None:
    """Quantize ONNX and PyTorch models to int8, and see what became of them.

    A model is an .onnx file, a .pt2 file of torch.export.save, or what quantize wrote: the folder,
    or the model.so in it. Data are .npz files with one array for each input, under the input's
    name; its first axis counts the samples. Load .pt2 and .so files only from people whom you
    trust: they may execute code.
    """
