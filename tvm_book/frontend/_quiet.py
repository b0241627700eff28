"""Keep the chatter of a library away from the user while it works for us."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any


class _MutedStream:
    """A stream that drops what one thread writes and passes on the rest."""

    def __init__(self, stream: Any, thread: int) -> None:
        self._stream = stream
        self._thread = thread

    def write(self, text: str) -> int:
        if threading.get_ident() == self._thread:
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def quiet(library: str) -> Iterator[None]:
    """Hide warnings, log records of `library` and stderr text, for this thread only.

    Everything is put back on exit. Log levels, and so what ``TORCH_LOGS`` asks for, are untouched.
    Python's warning filters belong to the process, hence they are the one thing that other
    threads lose too.
    """
    thread = threading.get_ident()

    def drop(record: logging.LogRecord) -> bool:
        return record.thread != thread or record.levelno < logging.WARNING

    # Some loggers have handlers of their own and do not propagate, so a filter goes on each.
    loggers = [
        logging.getLogger(name)
        for name in list(logging.root.manager.loggerDict)
        if name == library or name.startswith(f"{library}.")
    ]
    handlers = {handler for logger in loggers for handler in logger.handlers}
    for handler in handlers:
        handler.addFilter(drop)
    stderr = sys.stderr
    muted = _MutedStream(stderr, thread)
    sys.stderr = muted
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if sys.stderr is muted:
            sys.stderr = stderr
        for handler in handlers:
            handler.removeFilter(drop)
