"""What values of options are: files, shapes and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ._shapes import Shape

__all__ = ["FILE", "SETTING", "SHAPE"]

FILE: Any = click.Path(path_type=Path)


class _ShapeType(click.ParamType):
    """``name=1,3,224,224``."""

    name = "NAME=N,C,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Shape]:
        """Read it."""
        if isinstance(value, tuple):
            return value
        name, equals, sizes = value.rpartition("=")
        try:
            shape = tuple(int(size) for size in sizes.split(",")) if sizes else ()
        except ValueError:
            shape = (0,)
        if not equals or not name or any(size < 1 for size in shape):
            self.fail(f"{value!r} is no shape: write data=1,3,224,224", param, ctx)
        return name, shape


class _SettingType(click.ParamType):
    """``name=value``, where the value is JSON, or else a string."""

    name = "FIELD=VALUE"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Any]:
        """Read it."""
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals or not name:
            self.fail(f"{value!r} is no setting: write nbit_input=6", param, ctx)
        try:
            return name, json.loads(text)
        except json.JSONDecodeError:
            return name, text


SHAPE, SETTING = _ShapeType(), _SettingType()
