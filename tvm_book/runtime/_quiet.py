"""Keep two lines of TVM's log away from the user."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator

_CHATTER = re.compile(rb"executable\.cc:\d+: Warning: Scope (Saving|Loaded):")
_LOCK = threading.Lock()  # the descriptor belongs to the process


@contextlib.contextmanager
def quiet_scopes() -> Iterator[None]:
    """Drop what TVM 0.27 logs, without a reason to act, at every save and load of a library.

    TVM's C++ code writes to file descriptor 2, which `sys.stderr` does not reach, and it has no
    log level. Whatever else arrives there meanwhile is passed on at the end.
    """
    with _LOCK, tempfile.TemporaryFile() as log:
        if sys.stderr is not None:
            sys.stderr.flush()
        try:
            stderr = os.dup(2)
        except OSError:  # a process without standard error: nothing to keep quiet
            yield
            return
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            log.seek(0)
            rest = b"".join(line for line in log if not _CHATTER.search(line))
            if rest:
                os.write(2, rest)
