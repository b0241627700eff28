"""The lock that lets one thread at a time turn Relax operators into loops.

TVM 0.27 keeps the scope of a `tvm.te.tag_scope` in a class attribute (``te/tag.py``): while one
thread lowers an operator, another one finds that scope open and fails.
"""

from __future__ import annotations

import threading

__all__ = ["LOWERING"]

# Reentrant, because a pass instrument may compile something itself.
LOWERING = threading.RLock()
