"""The instructions of `tvm_book.backend.isa.amx` without tiles: what traps is done in C."""

import ctypes
import functools
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from tvm.support import cc

from tvm_book.backend import resolve_target
from tvm_book.backend.isa import LEVELS, amx, available, avx512_vnni

SOURCE = Path(__file__).with_name("amx_traps.c")


@functools.cache
def why_not():
    """Return why `TRAPPED` cannot run here, or None: then the instructions are caught."""
    if sys.platform != "linux":
        return "the handler of traps is written for Linux"
    levels = available(resolve_target("llvm"))
    if LEVELS["amx"] in levels:
        return "this CPU has tiles of its own"
    if LEVELS["avx512-vnni"] not in levels:
        return "this CPU lacks AVX512-VNNI, which kernels with tiles use beside them"
    if cc.get_cc() is None:
        return "the handler of traps needs a C compiler"
    if traps().install():
        return "this CPU has tiles, which the system refuses"
    return None


@functools.cache
def traps():
    """Compile the handler of traps."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "traps.so")
        flags = ["-x", "c", "-O2", "-shared", "-fPIC"]
        subprocess.run([cc.get_cc(), *flags, str(SOURCE), "-o", str(path)], check=True)
        library = ctypes.CDLL(str(path))
    library.count.restype = ctypes.c_long
    return library


TRAPPED = replace(
    amx.ISA,
    name="amx-trapped",
    needs=avx512_vnni.ISA.needs,
    # Nothing else that CPUs with tiles have: LLVM would use it, and it is not caught.
    options={"mcpu": "cascadelake", "mattr": ["+amx-tile", "+amx-int8"]},
    refusal=why_not,
)
MARKS = pytest.mark.skipif(why_not() is not None, reason=f"{why_not()}")
PARAM = pytest.param(TRAPPED, id=TRAPPED.name, marks=MARKS)
