"""The machine that a benchmark ran on, and how many of its processors it may use."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["describe", "limit_threads", "processor", "versions"]


def describe(threads: int) -> dict[str, Any]:
    """Return what the JSON file says about the machine."""
    return {
        "processor": processor(),
        "processors": os.cpu_count(),
        "threads": threads,
        "system": platform.system(),
        "python": platform.python_version(),
    }


def processor() -> str:
    """Return the processor's name."""
    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.exists() else []
    model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), None)
    return model or platform.processor()


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Return the version of each package, None for one that is not installed."""
    return {name: _version(name) for name in packages}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def limit_threads(threads: int) -> None:
    """Keep this process on its first `threads` processors; call it before frameworks count them."""
    if hasattr(os, "sched_setaffinity"):  # Linux; the others follow the variables of the runner
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
