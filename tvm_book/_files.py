"""Write a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["check_destination", "write_file"]


def check_destination(path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Return the absolute path of a file that may be written.

    Raises
    ------
    IsADirectoryError, FileNotFoundError, NotADirectoryError, FileExistsError
        The path is a folder, its folder does not exist or is none, or the file exists and
        ``overwrite`` is False.

    Examples
    --------
    >>> check_destination("no such folder/recipe.safetensors")
    Traceback (most recent call last):
    FileNotFoundError: there is no folder ...no such folder: create it first
    """
    path = Path(path).absolute()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it")
    if not path.parent.exists():
        raise FileNotFoundError(f"there is no folder {path.parent}: create it first")
    if not path.parent.is_dir():
        raise NotADirectoryError(f"{path.parent} is a file, not a folder")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists: pass overwrite=True to replace it")
    return path


def write_file(path: str | os.PathLike[str], content: bytes | str, overwrite: bool = False) -> None:
    """Write a file so that it is complete or, after an error, as it was.

    Parameters
    ----------
    path : str or path-like
    content : bytes or str
        Text is encoded in UTF-8.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Raises
    ------
    IsADirectoryError, FileNotFoundError, NotADirectoryError, FileExistsError
        See `check_destination`.
    OSError
        The folder cannot be written to, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_file(folder / "a.txt", "first")
    >>> write_file(folder / "a.txt", "second", overwrite=True)
    >>> (folder / "a.txt").read_text(), [path.name for path in folder.iterdir()]
    ('second', ['a.txt'])
    """
    path = check_destination(path, overwrite)
    content = content.encode() if isinstance(content, str) else content
    # In the same folder, so that the last step is a rename.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        part = Path(folder, path.name)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
