"""Names of layers where there is little room."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .._text import cut_front

__all__ = ["plain", "short_names"]


def plain(name: str) -> str:
    """Return a name without the folder of an operator.

    Examples
    --------
    >>> plain("relax.nn.max_pool2d@0"), plain("layer1.nn.conv")
    ('max_pool2d@0', 'layer1.nn.conv')
    """
    return name.removeprefix("relax.").removeprefix("nn.")


def short_names(names: Sequence[str], longest: int) -> list[str]:
    """Return names without the modules in which all layers are, and not too long.

    Examples
    --------
    >>> short_names(["model.stem.conv", "model.head.fc", "relax.add@3"], 9)
    ['stem.conv', 'head.fc', 'add@3']
    """
    parts = [plain(name).split(".") for name in names]
    inside = [part for part, name in zip(parts, names, strict=True) if plain(name) == name]
    common = len(os.path.commonprefix([part[:-1] for part in inside])) if len(inside) > 1 else 0
    return [
        cut_front(".".join(part[common:] if plain(name) == name else part), longest)
        for part, name in zip(parts, names, strict=True)
    ]
