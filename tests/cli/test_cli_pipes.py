"""Where the output goes: pipes, closed pipes, full disks, terminals, other encodings."""

import json
import os
import subprocess
import sys

import pytest

from tests.cli.commands import command, process

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and terminals of POSIX")
INFO = ("info", "out/recipe.safetensors")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_pipe_gets_plain_text(encoding, shop):
    done = process("bench", "out", "--rounds", "1", "--profile", folder=shop, text=False,
                   env=os.environ | {"PYTHONIOENCODING": encoding})  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\x1b" not in done.stdout
    assert "out" in done.stdout.decode(encoding)


def test_json_is_all_that_is_printed(shop):
    done = process("compare", "net.onnx", "out", "--data", "data.npz", "--json", folder=shop)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["samples"] == 6


def test_nobody_reads(shop):
    run = subprocess.Popen(command(*INFO), cwd=shop, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run.stdout.close()
    with run.stderr as stderr:
        assert stderr.read() == b""
    assert run.wait() == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_the_output_cannot_be_written(shop):
    with open("/dev/full", "w") as full:
        done = process(
            *INFO, "--json", folder=shop, capture_output=False, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1
    assert done.stderr == "error: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_colours_unless_they_are_unwanted(no_color, shop):
    import pty

    ours, theirs = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    env |= {"TERM": "xterm-256color", "COLUMNS": "100"} | ({"NO_COLOR": "1"} if no_color else {})
    code = (
        "from tvm_book.cli._output import show\n"
        "from rich.text import Text\n"
        "show(Text('x', style='red'))"
    )
    run = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, env=env)
    assert run.wait() == 0
    os.close(theirs)
    shown = os.read(ours, 1000)
    os.close(ours)
    assert (b"\x1b[31m" in shown) is not no_color


@pytest.mark.parametrize(("columns", "width"), [("72", 72), ("0", 160), ("wide", 160), (None, 160)])
def test_a_pipe_gets_as_many_columns_as_it_asks_for(columns, width):
    env = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    env |= {} if columns is None else {"COLUMNS": columns}
    code = (
        "from tvm_book.cli._output import show\n"
        "from rich.panel import Panel\n"
        "show(Panel('as wide as it can be'))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert {len(line) for line in done.stdout.splitlines()} == {width}
