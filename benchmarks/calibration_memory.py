"""Peak memory of a calibration, for 32 samples and for 512: it must not depend on them.

    python benchmarks/calibration_memory.py [algorithm ...]

Each measurement runs in a process of its own, which makes its batches one after the other. The
peak is the high-water mark that Linux keeps of the process (``VmHWM``).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SAMPLES = (32, 512)
BATCH, SIZE = 8, 96


def main(names: list[str]) -> None:
    """Print a table: one row an algorithm."""
    from tvm_book.quantize.calibrate import ALGORITHMS

    print(f"{'algorithm':16}" + "".join(f"{f'{n} samples':>15}" for n in SAMPLES) + f"{'ratio':>8}")
    for name in names or [name for name in ALGORITHMS if ALGORITHMS[name].passes]:
        peaks = [measure(name, samples) for samples in SAMPLES]
        cells = "".join(f"{peak / 1024:11.1f} MiB" for peak in peaks)
        print(f"{name:16}{cells}{peaks[1] / peaks[0]:8.3f}", flush=True)


def measure(name: str, samples: int) -> int:
    """Calibrate in a new process and return its peak memory in KiB."""
    command = [sys.executable, __file__, "--child", name, str(samples)]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def child(name: str, samples: int) -> None:
    """Calibrate, and print the peak."""
    from tvm_book import quantize

    config = quantize.QConfig(preset="accurate", calibrate_mode=name)
    quantize.observe(model(), None, batches(samples), config, batches=samples // BATCH)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(re.search(r"VmHWM:\s*(\d+) kB", status)[1])


def batches(samples: int) -> Iterator[dict[str, np.ndarray]]:
    """Make one batch after the other."""
    rng = np.random.default_rng(0)
    for _ in range(samples // BATCH):
        yield {"x": rng.standard_normal((BATCH, 3, SIZE, SIZE), np.float32)}


def model():
    """Three convolutions."""
    from tvm import relax

    rng = np.random.default_rng(1)
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((BATCH, 3, SIZE, SIZE), "float32"))
    with builder.function("main", [x]):
        y = x
        for channels in (16, 16, 8):
            shape = (channels, int(y.ty.shape[1]), 3, 3)
            weight = relax.const(rng.standard_normal(shape, np.float32) / 6)
            y = builder.emit(relax.op.nn.conv2d(y, weight, strides=2, padding=1))
            y = builder.emit(relax.op.nn.relu(y))
        builder.emit_func_output(y)
    return builder.get()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]))
    else:
        main(sys.argv[1:])
