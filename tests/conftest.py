"""Settings shared by all tests."""

import os

from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers already fill the cores; threads inside each would only wait for one another.
    os.environ.setdefault("TVM_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Compiling takes as long as the machine is busy, and a failure has to be the same for everybody.
settings.register_profile("project", deadline=None, derandomize=True, database=None)
settings.load_profile("project")
