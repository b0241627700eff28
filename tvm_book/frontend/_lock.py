"""One import at a time."""

from __future__ import annotations

import threading

# While torch captures a model it swaps the model's tensors and patches its operator tables, and
# the block builders of Relax share a stack.
IMPORTING = threading.RLock()
