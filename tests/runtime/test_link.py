"""Saving where files cannot be written: an error each time, never half a file or a dead process."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tvm.script import ir as I
from tvm.script import relax as R
from tvm.support import cc

import tvm_book

ROOT = Path(tvm_book.__file__).parents[1]
SIZES = [2**power for power in range(10, 23)]  # bytes, from nothing fits to everything does
pytestmark = pytest.mark.skipif(cc.get_cc() is None, reason="linking needs a C++ compiler")


@I.ir_module
class Dense:
    @R.function
    def main(x: R.Tensor((5, 300), "float32"), weight: R.Tensor((300, 300), "float32")):
        with R.dataflow():
            y = R.nn.relu(R.matmul(x, weight))
            R.output(y)
        return y


WEIGHT = np.ones((300, 300), "float32")


def compiled():
    return tvm_book.compile(Dense, params={"weight": WEIGHT})


def try_to_save(model, folder):
    """Return what happened, and the names of what lies in the folder after."""
    path = folder / "model.so"
    try:
        model.save(path)
        tvm_book.load(path)
        happened = "saved"
        path.unlink()
    except (OSError, RuntimeError) as error:
        happened = str(error)
    return happened, os.listdir(folder)


def below_limits(folder):
    import resource

    model = compiled()
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    for size in SIZES:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        result = try_to_save(model, folder)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        yield result


def on_full_disks(folder):
    """Fill a disk of 8 MiB, on which the folder and TMPDIR lie, up to what is left."""
    model = compiled()
    filler = folder.parent / "filler"
    for size in SIZES:
        filler.write_bytes(bytes(shutil.disk_usage(folder).free - size))
        result = try_to_save(model, folder)
        filler.unlink()
        yield result


def run(program, folder, *prefix):
    """Run one of the programs above in a process of its own; return what failed, by size."""
    code = (
        "import json, pathlib; from tests.runtime import test_link as test; "
        f"print(json.dumps(list(test.{program.__name__}(pathlib.Path({str(folder)!r})))))"
    )
    command = [*prefix, sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    results = json.loads(done.stdout)
    assert [names for _, names in results] == [[]] * len(SIZES)
    happened = [text for text, _ in results]
    first = happened.index("saved")
    assert SIZES[first] > WEIGHT.nbytes  # which no smaller file can hold
    assert set(happened[first:]) == {"saved"}
    return happened[:first]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of this kind")
def test_a_limit_on_the_size_of_files(tmp_path):
    for size, message in zip(SIZES, run(below_limits, tmp_path), strict=False):
        assert f"may write files of {size} bytes at most" in message
        assert message.endswith("raise the limit (ulimit -f)")


IN_A_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def namespaces():
    try:
        return subprocess.run([*IN_A_NAMESPACE, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not namespaces(), reason="mounting a small disk needs a user namespace")
def test_a_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=8m tmpfs "$0" && mkdir "$0/folder" && TMPDIR="$0" exec "$@"'
    for message in run(on_full_disks, disk / "folder", *IN_A_NAMESPACE, "sh", "-c", mount, disk):
        assert os.strerror(errno.ENOSPC) in message


def test_without_files_in_memory_room_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    model = compiled()
    assert try_to_save(model, tmp_path) == ("saved", [])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5 * 2**20))
    with pytest.raises(OSError, match="only 5 MiB are free in .*: make room, or set TMPDIR"):
        model.save(tmp_path / "model.so")
    assert not list(tmp_path.iterdir())
