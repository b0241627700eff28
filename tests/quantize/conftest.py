"""Fixtures of this folder."""

import pytest
import torch

from tests.quantize.networks import Branching, imported


@pytest.fixture
def one_thread():
    """Compute on one thread: in small networks threads would only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def branching():
    """`Branching` for `CALIBRATION`: a module and its parameters."""
    return imported(Branching, (4, 3, 8, 8))
