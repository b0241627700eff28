"""Settings shared by all tests."""

import os

from hypothesis import settings
from jupyter_cache import get_cache

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers already fill the cores; threads inside each would only wait for one another.
    os.environ.setdefault("TVM_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Compiling takes as long as the machine is busy, and a failure has to be the same for everybody.
settings.register_profile("project", deadline=None, derandomize=True, database=None)
settings.load_profile("project")


def chapter_cache():
    """Return the cache of executed chapters that `make test` names, and keeps fresh, if any."""
    folder = os.environ.get("CHAPTER_CACHE")
    return get_cache(folder) if folder else None


def pytest_configure(config):
    """Create the cache's database before the workers start, which would get in each other's way."""
    cache = None if hasattr(config, "workerinput") else chapter_cache()
    if cache:
        cache.list_cache_records()
