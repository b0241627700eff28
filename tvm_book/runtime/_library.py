"""One file for a compiled model: a shared library with a description and a checksum at its end.

Layout: the library, the recipe of a quantized model, the description as JSON, which says how long
the recipe is, then a footer with the size of the JSON (8 bytes, little endian), the SHA-256 of
everything before the footer (32 bytes) and `MAGIC`. A loader of shared libraries ignores what
follows the library. The checksum is verified before the library is opened, since opening one that
is cut short kills the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from pathlib import Path
from typing import Any

import tvm
from tvm.support import cc

from .._files import check_destination
from ._link import link
from ._quiet import quiet_scopes

MAGIC = b"tvm_book.model.2"
_FOOTER = struct.Struct(f"<Q32s{len(MAGIC)}s")


def write(
    path: str | os.PathLike[str],
    executable: tvm.runtime.Executable,
    description: dict[str, Any],
    recipe: bytes,
    overwrite: bool,
) -> None:
    """Link the executable and write it with its description; on failure leave nothing behind."""
    path = check_destination(_checked(path), overwrite)
    compiler = cc.get_cc()
    if compiler is None:
        raise RuntimeError(
            "saving needs a C++ compiler to link the library, and none was found (CXX, CC, g++, "
            "gcc, clang++, clang). Install one, for example with: apt install g++"
        )
    # In the same folder, so that the last step is a rename and never leaves half a file.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        library = Path(folder, path.name)
        try:
            link(executable, library)
        except (FileNotFoundError, PermissionError, RuntimeError) as error:
            raise RuntimeError(f"{compiler} could not link {path.name}: {error}") from error
        text = json.dumps(description | {"recipe": len(recipe)}).encode()
        content = library.read_bytes() + recipe + text
        digest = hashlib.sha256(content).digest()
        library.write_bytes(content + _FOOTER.pack(len(text), digest, MAGIC))
        os.replace(library, path)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Verify a file that `write` wrote, and return its description."""
    return read_all(path)[0]


def read_all(path: str | os.PathLike[str]) -> tuple[dict[str, Any], bytes]:
    """Verify a file that `write` wrote; return its description and the recipe, perhaps empty."""
    path = _checked(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a saved model")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    content = path.read_bytes()
    body, footer = content[: -_FOOTER.size], content[-_FOOTER.size :]
    if len(footer) < _FOOTER.size or not footer.endswith(MAGIC):
        raise ValueError(
            f"{path} was not written by CompiledModel.save of this version, or it is cut short"
        )
    size, digest, _ = _FOOTER.unpack(footer)
    if hashlib.sha256(body).digest() != digest:
        raise ValueError(f"{path} is damaged: its checksum does not match. Save or copy it again")
    description = json.loads(body[-size:])
    recipe = body[len(body) - size - description.get("recipe", 0) : -size]
    return description, recipe


def open_library(path: str | os.PathLike[str], saved_by: str) -> tvm.runtime.Module:
    """Open the library of a verified file."""
    try:
        with quiet_scopes():
            return tvm.runtime.load_module(str(_checked(path)))
    except Exception as error:  # whatever TVM raises: the file is intact, so it does not fit here
        raise ValueError(
            f"{path} does not load here (saved with TVM {saved_by}, this is TVM "
            f"{tvm.__version__}); compile and save the model again. TVM says: {error}"
        ) from error


def _checked(path: str | os.PathLike[str]) -> Path:
    path = Path(path).absolute()  # without a slash in it the system would search its library path
    if path.suffix != ".so":  # by which TVM recognises a shared library
        raise ValueError(f"the name of a saved model must end in .so: {path.name!r} does not")
    return path
