"""Link an executable so that a disk without room is an error like any other.

LLVM writes object files itself, and ends the whole process when it cannot, without a word and with
half a file left behind. So it gets files in memory to write to, from which the linker, a process of
its own, reads; only the linker touches the disk.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tvm
from tvm.runtime import _ffi_api

from ._quiet import quiet_scopes

ROOM = 32 * 2**20  # bytes; object files of small models stay below
_HEADERS = 2**16  # bytes of an object file beside what it is made of


def link(executable: tvm.runtime.Executable, library: Path) -> None:
    """Write the executable as a shared library.

    Raises
    ------
    OSError
        The system lets this process write no file, or none in memory, as large as it takes.
    RuntimeError
        The linker failed.
    """
    modules = executable.mod._collect_dso_modules()
    names = [f"lib{index}.o" for index in range(len(modules))] + ["devc.o"]
    with quiet_scopes(), _workspace(names) as folder:
        _check_limit(executable.mod, modules)
        executable.export_library(str(library), workspace_dir=folder)


@contextlib.contextmanager
def _workspace(names: list[str]) -> Iterator[str]:
    """Make a folder in which files of these names lie in memory, where the system has such."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as files:
        if hasattr(os, "memfd_create"):
            for name in names:
                file = os.memfd_create(name)
                files.callback(os.close, file)
                # Not /proc/self, which would be the linker's own.
                os.symlink(f"/proc/{os.getpid()}/fd/{file}", Path(folder, name))
        else:
            _check_room(Path(folder))
        yield folder


def _check_room(folder: Path) -> None:
    if (free := shutil.disk_usage(folder).free) < ROOM:
        raise OSError(
            f"only {free / 2**20:.0f} MiB are free in {folder.parent}, and linking a library takes "
            f"at least {ROOM / 2**20:.0f}: make room, or set TMPDIR to another folder"
        )


def _check_limit(mod: tvm.runtime.Module, modules: list[tvm.runtime.Module]) -> None:
    """Refuse if one object file is larger than files may be; those in memory count as well.

    Machine code is shorter than its text, and constants are as long as they are.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit == resource.RLIM_INFINITY:
        return
    sizes = [len(module.inspect_source("asm")) for module in modules]
    sizes.append(_ffi_api.ModulePackImportsToTensor(mod).shape[0])
    if (needed := max(sizes) + _HEADERS) > limit:
        raise OSError(
            f"this process may write files of {limit} bytes at most, and linking takes one of up "
            f"to {needed}: raise the limit (ulimit -f)"
        )
