"""Each contestant's three functions on a small network; peers only where they are installed."""

import importlib

import numpy as np
import pytest
import torch
from contest.table import CONTESTANTS, FLOAT, missing
from torch import nn

from tvm_book.testing import metric

OWN = [FLOAT, "tvm_book/relay/percentile", "tvm_book/accurate/mse"]  # the others: tests/quantize
PEERS = [name for name in CONTESTANTS if CONTESTANTS[name].needs]


@pytest.mark.parametrize("name", [*OWN, *PEERS])
def test_contestant_stays_close_to_float(name):
    contestant = CONTESTANTS[name]
    if lacking := missing(contestant):
        pytest.skip(f"needs {', '.join(lacking)}: pip install .[bench]")
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(288, 10)).eval()
    rng = np.random.default_rng(0)
    batches = list(rng.uniform(0, 16, (2, 20, 1, 8, 8)).astype("float32"))
    with torch.no_grad():
        expected = model(torch.from_numpy(batches[0])).numpy()
    module = importlib.import_module(contestant.module)
    quantized = module.quantize(module.convert(model, batches[0]), batches, contestant.options)
    scores = module.predictor(quantized)(batches[0])
    # Three roundings to 8 bits in a row leave about 35 dB, Relay's powers of two about 25; a wrong
    # option or layout leaves none.
    assert metric.sqnr_db(expected, scores) > 15
