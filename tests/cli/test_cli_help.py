import importlib.metadata
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.cli.commands import call
from tvm_book.cli import BLOCKS, main
from tvm_book.cli._types import SETTING

COMMANDS = sorted(main.commands)
EXAMPLES = [
    *BLOCKS["Examples"],
    *(line for name in COMMANDS for line in main.commands[name]._blocks["Examples"]),
]
HEAVY = ("tvm", "torch", "numpy", "onnx", "rich", "matplotlib")


@pytest.mark.parametrize("args", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_is_there_at_once(args):
    """Importing TVM and torch takes seconds, and help needs neither."""
    code = (
        "import sys; from tvm_book.cli import main\n"
        f"try: main({[*args, '--help']!r}, prog_name='tvm-book')\n"
        "except SystemExit as end: code = end.code\n"
        f"print('loaded', [name for name in {HEAVY!r} if name in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    *text, last = done.stdout.splitlines()
    assert last == "loaded [] 0"
    assert text[0].startswith(" ".join(["Usage: tvm-book", *args]))
    assert "Examples:" in text


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_are_right(line):
    program, name, *args = shlex.split(line.split("|")[0])
    assert program == "tvm-book"
    main.commands[name].make_context(name, args)  # raises for what it does not know


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            "bench out --batch-size 8",
            "are for .onnx and .pt2 files; other models have their",
        ),
        ("compare out out --data data.npz --shape data=1,3,8,8", "leave both out"),
        ("info out/model.so --batch-size 1", "leave both out"),
        ("bench net.onnx --data data.npz --data data.npz", "one batch is run: give --data once"),
        ("quantize net.onnx --recipe out -o new --no-compile --isa avx2", "drop --no-compile"),
        ("quantize net.onnx --recipe out -o new --no-compile --threads 1", "drop --no-compile"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(args, message, shop, invoke):
    result = invoke(*args.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert not (shop / "new").exists()


@pytest.mark.parametrize("program", ["module", "entry point"])
def test_both_ways_to_start(program):
    start = [str(Path(sys.executable).parent / "tvm-book")]
    if program == "module":
        start = [sys.executable, "-m", "tvm_book"]
    done = subprocess.run([*start, "--version"], capture_output=True, text=True)
    version = importlib.metadata.version("tvm-book")
    assert (done.returncode, done.stdout) == (0, f"tvm-book, version {version}\n")


def test_presets_are_those_of_the_library():
    from tvm_book.quantize import PRESETS

    for name in ("quantize", "info"):
        option = next(o for o in main.commands[name].params if o.name == "preset")
        assert set(option.type.choices) == set(PRESETS)


def test_every_option_says_what_it_does():
    for command in main.commands.values():
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{command.name} {option.opts}"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["quantise"], "No such command 'quantise'"),
        (["quantize"], "Missing argument 'MODEL'"),
        (["quantize", "a.onnx"], "Missing option '-o'"),
        (["quantize", "a.onnx", "-o", "o", "--preset", "best"], "'best' is not one of"),
        (["quantize", "a.onnx", "-o", "o", "--set", "nbit_input"], "write nbit_input=6"),
        (["quantize", "a.onnx", "-o", "o", "--set", "nbit_inpt=6"], "did you mean 'nbit_input'?"),
        (["quantize", "a.onnx", "-o", "o", "--set", "nbit_input=99"], "from 2 to 32"),
        (["quantize", "a.onnx", "-o", "o", "--calibrate-mode", "mean"], "choose from"),
        (["quantize", "a.onnx", "-o", "o", "--recipe", "r", "--skip", "a"], "leave out --skip"),
        (
            ["quantize", "a.onnx", "-o", "o", "--recipe", "r", "--set", "seed=1", "--preset=relay"],
            "leave out --preset, --set ",
        ),
        (["quantize", "a.onnx", "-o", "o", "--set", "preset=relay"], "give --preset"),
        (["quantize", "a.onnx", "-o", "o", "--set", "skip=[]", "--skip", "a"], "give --skip"),
        (["quantize", "a.onnx", "-o", "o", "--html"], "--html looks at data"),
        (["quantize", "a.onnx", "-o", "o", "--threads", "0"], "x>=1"),
        (["info", "a.onnx", "--shape", "data=1,x"], "'data=1,x' is no shape"),
        (["info", "a.onnx", "--shape", "1,3"], "write data=1,3,224,224"),
        (["info", "a.onnx", "--shape", "data=1,-3"], "is no shape"),
        (["compare", "a.onnx"], "Missing argument 'B'"),
        (["compare", "a.onnx", "b.onnx"], "Missing option '--data'"),
        (["compare", "a", "b", "--data", "d", "--min-cosine", "2"], "-1<=x<=1"),
        (["bench"], "Missing argument 'MODEL...'"),
        (["bench", "a.so", "--random", "--data", "d.npz"], "exclude each other"),
        (["bench", "a.so", "--rounds", "0"], "x>=1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_is_told(args, message, tmp_path):
    result = call(*args, folder=tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " ")
    assert result.stdout == ""
    assert not list(tmp_path.iterdir())


def test_settings_are_json_or_text():
    read = SETTING.convert
    cases = {"nbit_input=6": 6, "skip=[]": [], "rounding=TONEAREST": "TONEAREST", "skip=a=b": "a=b"}
    for text, value in cases.items():
        assert read(text, None, None) == (text.partition("=")[0], value)
