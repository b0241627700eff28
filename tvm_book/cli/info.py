"""``tvm-book info``: what a file is, and this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import _describe, _options
from ._command import Command
from ._output import print_json, print_table, show
from ._types import FILE
from ._wishes import wishes_about

__all__ = ["info"]


EXAMPLES = (
    "tvm-book info",
    "tvm-book info net.onnx",
    "tvm-book info net.onnx --preset relay --shape data=1,3,224,224",
    "tvm-book info out --json",
)


@click.command(cls=Command, examples=EXAMPLES, short_help="What is this file, and this machine?")
@click.argument("path", type=FILE, required=False, metavar="[FILE]")
@click.option(
    "--preset",
    type=click.Choice(["accurate", "relay"]),
    default="accurate",
    show_default=True,
    help="Under which the operators of a float model are looked at.",
)
@_options.batch_size
@_options.shape
@_options.as_json
def info(
    path: Path | None,
    preset: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Tell what FILE is: an .onnx or .pt2 model, a model.so, a recipe, or a folder of results.

    Of a float model: its inputs and outputs, and which operators become int8 under a preset. Of
    results: what was decided, and which CPU they need. Without FILE: versions, and what this CPU
    can do.
    """
    if path is None:
        found = _describe.machine()
    else:
        found = _describe.file(path, preset, wishes_about([path], {}, **options))
    if as_json:
        print_json(found)
    else:
        _tell(found)


def _tell(found: dict[str, Any]) -> None:
    """Print what JSON would hold: a line for each value, a table for each list of records."""
    tables = {key: value for key, value in found.items() if _is_table(value)}
    width = max(len(key) for key in found)
    for key, value in found.items():
        if key not in tables and value is not None:
            show(f"{_words(key):<{width}}  {_text(value)}")
    for key, value in tables.items():
        columns = [f">{name}" if _counts(value, name) else name for name in value[0]]
        cells = [[_text(row[name]) for name in value[0]] for row in value]
        print_table(_words(key), [_words(name) for name in columns], cells)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _counts(rows: list[dict[str, Any]], name: str) -> bool:
    return isinstance(rows[0][name], int) and not isinstance(rows[0][name], bool)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    return "" if value is None else str(value)
