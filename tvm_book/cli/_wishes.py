"""What the command line says about how to import and compile models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from ._kinds import FLOAT, kind_of
from ._shapes import Shape

__all__ = ["Wishes", "check_used"]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Options about shapes and code.

    Attributes
    ----------
    shapes, seen, like : mapping from input name to shape
        Given, of the data, and of another model.
    batch_size, threads : int, optional
    isa : str, optional
    """

    shapes: Mapping[str, Shape] = field(default_factory=dict)
    seen: Mapping[str, Shape] = field(default_factory=dict)
    like: Mapping[str, Shape] = field(default_factory=dict)
    batch_size: int | None = None
    threads: int | None = None
    isa: str | None = None


def check_used(wishes: Wishes, paths: Iterable[Path]) -> None:
    """Refuse options about shapes where every model has its shapes already.

    Raises
    ------
    click.UsageError
        Shapes or a batch size are given, and none of the models is a float one.
    """
    if (wishes.shapes or wishes.batch_size) and not any(kind_of(path) in FLOAT for path in paths):
        raise click.UsageError(
            "--batch-size and --shape are for .onnx and .pt2 files; other models have their "
            "shapes already: leave both out"
        )
