"""The process that prepares one row: ``python -m race.prepare FOLDER`` reads ``job.json`` there."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from contest.machine import limit_threads

__all__ = ["main"]


def main(folder: Path) -> None:
    """Do the job in `folder`, and write what was measured to ``result.json``."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    limit_threads(job["threads"])
    module = importlib.import_module(job["module"])
    source = None if job["source"] is None else Path(job["source"])
    numbers = module.prepare(job, source, folder)
    (folder / "result.json").write_text(json.dumps(numbers), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
