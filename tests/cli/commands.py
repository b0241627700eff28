"""How tests of the command line call it, and the model that they give it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from onnx import helper, numpy_helper

from tvm_book.cli import main

SHAPE = (3, 8, 8)
CALIBRATION = ("--calibration", "data.npz", "-o", "out")
FILES = ["model.so", "recipe.safetensors", "report.json"]  # what quantize writes


def samples(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *SHAPE)).astype("float32")


def network(batch):
    """Two convolutions, and two outputs: scores, and the map that they are made from."""
    random = np.random.default_rng(0)
    stored = {
        "stem.weight": random.standard_normal((16, 3, 3, 3)) / 5,
        "body.weight": random.standard_normal((8, 16, 3, 3)) / 12,
        "head.weight": random.standard_normal((5, 8)),
    }
    nodes = [
        helper.make_node("Conv", ["data", "stem.weight"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "body.weight"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "head.weight"], ["scores"], transB=1),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [info("data", 1, [batch, *SHAPE])],
        [info("scores", 1, [batch, 5]), info("map", 1, [batch, 8, 4, 4])],
        [numpy_helper.from_array(a.astype("float32"), name) for name, a in stored.items()],
    )
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def call(*args, folder=None):
    """Run a command in this process, in a folder if one is given."""
    before = Path.cwd()
    try:
        os.chdir(folder or before)
        return CliRunner().invoke(main, [str(arg) for arg in args])
    finally:
        os.chdir(before)


def command(*args):
    """The command line of a process of its own."""
    return [sys.executable, "-m", "tvm_book", *map(str, args)]


def process(*args, folder=None, **options):
    """Run a command in a process of its own."""
    options = {"capture_output": True, "text": True, "timeout": 300} | options
    return subprocess.run(command(*args), cwd=folder, **options)


def names(folder):
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())
