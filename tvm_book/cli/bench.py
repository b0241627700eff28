"""``tvm-book bench``: which model is faster."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import _options
from ._command import Command
from ._data import cut, random_batch
from ._kinds import FLOAT, kind_of
from ._models import load_or_compile
from ._npz import read_npz
from ._output import print_json, print_table, show
from ._progress import stage
from ._types import FILE
from ._wishes import Wishes, wishes_about

if TYPE_CHECKING:
    from ..runtime import Benchmark, CompiledModel

__all__ = ["bench"]

TURN = 10.0  # ms that the fastest model takes in a turn: long against the clock's grain
COLUMNS = ("model", "isa", "input", ">median ms", ">min", ">spread", ">times as fast")


EXAMPLES = (
    "tvm-book bench net.onnx out",
    "tvm-book bench net.onnx out --data data.npz --threads 1 --rounds 50",
    "tvm-book bench out --profile",
)


@click.command(cls=Command, examples=EXAMPLES, short_help="Which model is faster?")
@click.argument("models", type=FILE, nargs=-1, required=True, metavar="MODEL...")
@_options.data(required=False, several=False)
@click.option("--random", is_flag=True, help="Run on random numbers; the default without --data.")
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Turns that each model gets.",
)
@click.option("--profile", is_flag=True, help="Show the time of each kernel as well.")
@_options.batch_size
@_options.shape
@_options.isa
@_options.threads
@_options.as_json
def bench(
    models: tuple[Path, ...],
    data: tuple[Path, ...],
    random: bool,
    rounds: int,
    profile: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Time models in turns, so that what disturbs the machine disturbs all of them alike.

    Each is an .onnx, .pt2 or .so file, or a folder that quantize wrote; float models are compiled
    first. All run the first batch of the data. "times as fast" compares with the first model: the
    median over the rounds of the ratio of both times in the same round. The spread is the
    interquartile range.
    """
    if random and data:
        raise click.UsageError("--random and --data exclude each other")
    if len(data) > 1:
        raise click.UsageError("one batch is run: give --data once")
    import tvm

    from .._text import plural, shape_text

    files = {path: read_npz(path) for path in data}
    wishes = wishes_about(models, files, **options)
    runs = _runs(models, wishes)
    inputs = {}
    for name, run in runs.items():
        batch = cut(files, run.inputs)[0] if files else random_batch(run.inputs)
        inputs[name] = {key: tvm.runtime.tensor(array) for key, array in batch.items()}
    times = _times(runs, inputs, rounds)
    profiles = {name: run.profile(**inputs[name]) for name, run in runs.items() if profile}
    first = next(iter(times.values()))
    ratios = {name: _ratio(first, one) for name, one in times.items()}
    if as_json:
        rows = [
            _row(name, run, times[name], ratios[name])
            | ({"profile": _profile(profiles[name])} if profile else {})
            for name, run in runs.items()
        ]
        print_json({"rounds": rounds, "random": not files, "models": rows})
        return
    rows = [
        (
            name,
            run.isa,
            ", ".join(f"{spec.name} {shape_text(spec.shape)}" for spec in run.inputs),
            *(f"{getattr(times[name], key):.4g}" for key in ("median", "min", "spread")),
            f"{ratios[name]:.2f}",
        )
        for name, run in runs.items()
    ]
    used = next(iter(runs.values())).threads
    print_table(f"{plural(rounds, 'round')}, threads {used}", COLUMNS, rows)
    for name, found in profiles.items():
        show(f"\n{name}", found, found.explain())


def _runs(paths: tuple[Path, ...], wishes: Wishes) -> dict[str, CompiledModel]:
    """Load and compile; float models with a dynamic batch take that of the compiled ones."""
    compiled = [path for path in paths if kind_of(path) not in FLOAT]
    runs = {path: load_or_compile(path, wishes) for path in dict.fromkeys(compiled)}
    if wishes.batch_size is None:
        shapes = {spec.name: spec.shape for one in runs.values() for spec in one.inputs}
        wishes = replace(wishes, like=shapes)
    for path in paths:
        if path not in runs:
            with stage(f"compiling {path}"):
                runs[path] = load_or_compile(path, wishes)
    return {str(path): runs[path] for path in dict.fromkeys(paths)}


def _times(
    runs: Mapping[str, CompiledModel], inputs: Mapping[str, dict], rounds: int
) -> dict[str, Benchmark]:
    from ..runtime import Benchmark
    from ..testing.timing import take_turns

    # At once the first calls, which are slow, and a hint of how many calls make a turn.
    hints = [run.benchmark(**inputs[name], repeat=3).median for name, run in runs.items()]
    number = max(1, math.ceil(TURN / max(min(hints), 1e-6)))
    calls = {name: lambda name=name, run=run: run(**inputs[name]) for name, run in runs.items()}
    with stage("timing"):
        times = take_turns(calls, rounds, number)
    return {name: Benchmark(tuple(samples), number) for name, samples in times.items()}


def _ratio(first: Benchmark, other: Benchmark) -> float:
    import numpy as np

    return float(np.median(np.divide(first.samples, other.samples)))


def _row(name: str, run: CompiledModel, times: Benchmark, ratio: float) -> dict[str, Any]:
    return {
        "model": name,
        "isa": run.isa,
        "threads": run.threads,
        "inputs": [str(spec) for spec in run.inputs],
        "median_ms": times.median,
        "min_ms": times.min,
        "max_ms": times.max,
        "spread_ms": times.spread,
        "times_as_fast": ratio,
        "calls_in_a_round": times.number,
        "samples_ms": times.samples,
    }


def _profile(profile: Any) -> dict[str, Any]:
    return {"total_us": profile.total, "threads": profile.threads, "rows": profile.rows}
