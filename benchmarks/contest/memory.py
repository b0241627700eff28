"""How much memory this process holds, and how much it held at most."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

__all__ = ["forget_peak", "peak_mib", "resident_mib"]

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak() -> None:
    """Let the peak start anew from what is held now, where the system can do that (Linux)."""
    try:
        CLEAR.write_text("5", encoding="ascii")
    except OSError:
        pass  # then the peak is that of the whole process


def peak_mib() -> float:
    """Return the most memory held, in MiB, since `forget_peak` if that worked."""
    try:
        return _status("VmHWM")
    except OSError:
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def resident_mib() -> float | None:
    """Return the memory held now, in MiB; None where the system does not say."""
    try:
        return _status("VmRSS")
    except OSError:
        return None


def _status(key: str) -> float:
    for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024  # the kernel counts in KiB
    raise OSError(f"{STATUS} has no {key}")
