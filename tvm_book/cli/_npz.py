"""Arrays from .npz files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ._output import first_line

if TYPE_CHECKING:
    import numpy as np

__all__ = ["read_npz"]


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz file; nothing in it is executed.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        There is no such file, or it is none; the message says what it should be.
    """
    import numpy as np

    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give an .npz file")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty: write it with numpy.savez(path, name=array)")
    try:
        content = np.load(path, allow_pickle=False)
    except PermissionError:
        raise
    except Exception as error:  # zip, header and encoding each have errors of their own
        raise ValueError(
            f"{path} is no .npz file, or it is cut short: write it with "
            "numpy.savez(path, name=array)"
        ) from error
    if isinstance(content, np.ndarray):
        raise ValueError(
            f"{path} is a single array without a name: write numpy.savez(path, name=array), "
            "with the name of the model's input"
        )
    with content:
        arrays = {name: _read_array(path, content, name) for name in content.files}
    if not arrays:
        raise ValueError(f"{path} holds no array: write numpy.savez(path, name=array)")
    return arrays


def _read_array(path: Path, content: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    import numpy as np

    try:
        array = content[name]
    except Exception as error:
        if "Object arrays" in str(error):
            raise ValueError(
                f"{path}: {name!r} holds Python objects, which are not read: save numbers, such "
                f"as {name}.astype('float32')"
            ) from error
        raise ValueError(
            f"{path}: {name!r} is damaged or cut short: {first_line(str(error)) or 'no data'}"
        ) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: {name!r} is no array: write numpy.savez(path, name=array)")
    return array
