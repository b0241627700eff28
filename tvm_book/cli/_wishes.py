"""What the command line says about how to import and compile models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._data import shapes_of
from ._kinds import FLOAT, kind_of
from ._shapes import Shape

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Wishes", "wishes_about"]


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


def wishes_about(
    paths: Sequence[Path],
    files: Mapping[Path, Mapping[str, np.ndarray]],
    shapes: Iterable[tuple[str, Shape]] = (),
    **options: Any,
) -> Wishes:
    """Return what the options of a command say about some models.

    Parameters
    ----------
    paths : sequence of Path
        The models.
    files : mapping from path to mapping from name to array
        What `tvm_book.cli._npz.read_npz` read.
    shapes : iterable of (str, shape)
        Given.
    **options
        Other attributes of `Wishes`.

    Raises
    ------
    click.UsageError
        Shapes or a batch size are given, and none of the models is a float one: all have theirs.
    """
    wishes = Wishes(shapes=dict(shapes), seen=shapes_of(files), **options)
    if (wishes.shapes or wishes.batch_size) and not any(kind_of(path) in FLOAT for path in paths):
        raise click.UsageError(
            "--batch-size and --shape are for .onnx and .pt2 files; other models have their "
            "shapes already: leave both out"
        )
    return wishes
