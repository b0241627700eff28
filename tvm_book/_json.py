"""Values as JSON (RFC 8259), which has no word for NaN and for infinite numbers."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

__all__ = ["json_safe", "json_text"]


def json_safe(value: Any) -> Any:
    """Return a value as JSON can hold it.

    NaN becomes None, and an infinite number ``"Infinity"`` or ``"-Infinity"``, which ``float`` in
    Python and ``Number`` in JavaScript both read. Arrays and tuples become lists, sets sorted ones,
    dataclasses dictionaries; what is left becomes text.

    Examples
    --------
    >>> import numpy as np
    >>> json_safe({"sqnr_db": [math.inf, math.nan], "cosine": np.float32(1), "shape": (1, None)})
    {'sqnr_db': ['Infinity', None], 'cosine': 1.0, 'shape': [1, None]}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # of NumPy
        value = value.tolist()
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)  # or two runs would write two texts
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value) if isinstance(value, PurePath) else repr(value)


def json_text(value: Any, indent: int | None = 2, ascii_only: bool = False) -> str:
    """Write `json_safe` of a value as JSON.

    Parameters
    ----------
    value : object
    indent : int or None, optional
        Spaces a level; None writes a single line.
    ascii_only : bool, optional
        Whether all other letters are escaped.

    Examples
    --------
    >>> json_text({"µs": -math.inf}, indent=None)
    '{"µs": "-Infinity"}'
    """
    return json.dumps(json_safe(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False)
