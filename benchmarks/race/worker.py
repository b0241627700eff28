"""The process of one contestant: load, then run whenever it is told to.

``python -m race.worker FOLDER`` reads ``FOLDER/job.json``. It writes a line of JSON when it is
ready, and one for each line that it reads: the milliseconds of so many calls.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contest.machine import limit_threads

__all__ = ["SLOW_MS", "main"]

PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
SLOW_MS = 1000
ALIGNMENT = 64  # bytes; frameworks that share an input would copy any other


def main(folder: Path) -> None:
    """Race until there is nothing more to read."""
    # What frameworks print goes to stderr: it must not get between the lines of the protocol.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _end_with_parent()
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    limit_threads(job["threads"])

    import numpy as np

    from tvm_book.testing import metric

    start = time.perf_counter()
    module = importlib.import_module(job["module"])
    call = module.load(job, Path(job["prepared"]))
    load_s = time.perf_counter() - start
    reference = Path(job["reference"])
    data = _aligned(np.load(reference / "input.npy"))
    first_ms, outputs = _timed(call, data)
    if first_ms > SLOW_MS:  # much may have happened in a first call that never happens again
        first_ms, outputs = _timed(call, data)
    output = outputs if isinstance(outputs, np.ndarray) else outputs[0]
    sqnr_db = metric.sqnr_db(np.load(reference / "output.npy"), output)
    finite = sqnr_db if math.isfinite(sqnr_db) else None
    gc.collect()
    gc.disable()
    _answer(answers, {"load_s": load_s, "first_ms": first_ms, "sqnr_db": finite})
    for line in sys.stdin:
        turn = json.loads(line)
        for _ in range(turn["warmup"]):
            call(data)
        _answer(answers, [_timed(call, data)[0] for _ in range(turn["calls"])])


def _end_with_parent() -> None:
    """Where Linux is: a process that is stopped would not notice that nobody is there any more."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _timed(call: Callable[[Any], Any], data: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    outputs = call(data)
    return 1e3 * (time.perf_counter() - start), outputs


def _aligned(data: Any) -> Any:
    import numpy as np

    memory = np.empty(data.nbytes + ALIGNMENT, np.uint8)
    offset = -memory.ctypes.data % ALIGNMENT
    result = memory[offset : offset + data.nbytes].view(data.dtype).reshape(data.shape)
    result[...] = data
    return result


def _answer(stream: Any, value: Any) -> None:
    print(json.dumps(value), file=stream, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
