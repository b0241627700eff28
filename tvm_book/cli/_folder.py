"""A folder of results: complete, or not there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ._command import interrupted

__all__ = ["MODEL", "PAGE", "RECIPE", "SUMMARY", "new_folder"]

MODEL, RECIPE, SUMMARY, PAGE = "model.so", "recipe.safetensors", "report.json", "report.html"
OURS = {MODEL, RECIPE, SUMMARY, PAGE}


@contextlib.contextmanager
def new_folder(target: Path, force: bool) -> Iterator[Path]:
    """Give a folder to write into, which becomes `target` if all goes well.

    It lies beside `target`, so that the last step is a rename.

    Parameters
    ----------
    target : Path
    force : bool
        Whether results that are there may be replaced. Other files never are.

    Yields
    ------
    Path
        An empty folder.

    Raises
    ------
    FileExistsError, FileNotFoundError, NotADirectoryError, OSError, ValueError
        There are files, `target` cannot be a folder, it cannot be written, or it is where this
        process or a file system lives.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> with new_folder(folder / "out", force=False) as fresh:
    ...     _ = (fresh / "report.json").write_text("{}")
    >>> [str(path.relative_to(folder)) for path in folder.rglob("*")]
    ['out', 'out/report.json']
    """
    target = _checked(target, force)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        fresh = Path(scratch, target.name)
        fresh.mkdir()  # unlike the scratch folder itself, with the permissions of any new folder
        yield fresh
        if interrupted():
            raise KeyboardInterrupt
        _replace(_checked(target, force), fresh, Path(scratch, "old"))


def _checked(target: Path, force: bool) -> Path:
    target = target.resolve()
    if not target.parent.exists():
        raise FileNotFoundError(f"there is no folder {target.parent}: create it first")
    if not target.parent.is_dir():
        raise NotADirectoryError(f"{target.parent} is a file, not a folder")
    if not target.exists():
        return target
    if not target.is_dir():
        raise NotADirectoryError(f"{target} is a file: give the name of a new folder")
    if target == Path.cwd() or os.path.ismount(target):
        raise ValueError(f"{target} itself cannot be replaced: name a folder in it")
    present = {path.name for path in target.iterdir()}
    if present and not force:
        raise FileExistsError(f"{target} has files: pass --force to replace them")
    if foreign := sorted(present - OURS):
        raise FileExistsError(
            f"{target} has files that tvm-book did not write ({', '.join(foreign[:3])}"
            f"{', ...' * (len(foreign) > 3)}): name another folder"
        )
    return target


def _replace(target: Path, fresh: Path, old: Path) -> None:
    try:
        if target.exists():
            os.rename(target, old)
        os.rename(fresh, target)
    except BaseException:
        if old.exists() and not target.exists():
            os.rename(old, target)
        raise
