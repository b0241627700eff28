"""One scale for each channel rescues depthwise convolutions whose channels differ in range.

As in trained MobileNets: where a channel is dead its batch norm divides by next to nothing, which
makes its folded filter hundreds of times as large as the others.
"""

import functools

import numpy as np
import torch
from torch import nn

from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig, quantize
from tvm_book.quantize._evaluate import Evaluator
from tvm_book.quantize._graph import Graph
from tvm_book.testing.metric import sqnr_db

CHANNELS, DEAD, SHAPE = 16, 3, (4, 3, 12, 12)


def inverted_residual(dead):
    """Make a block of a MobileNetV2; the first ``dead`` channels are always 0 behind ReLU6."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, CHANNELS, 1),
            nn.ReLU6(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS, bias=False),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU6(),
            nn.Conv2d(CHANNELS, 8, 1),
        )
    model.requires_grad_(False)
    model[0].bias[:dead] = -100
    model[3].running_var.fill_(0.05)
    model[3].running_var[:dead] = 0  # the factor is 1 / sqrt(1e-5) = 316 instead of 4.5
    model[3].bias.fill_(0.5)
    return model.eval()


@functools.cache
def sqnr(granularity, dead=DEAD, equalize=False):
    model = inverted_residual(dead)
    mod, params = from_pytorch(model, [("x", SHAPE)])
    rng = np.random.default_rng(0)
    data = [{"x": rng.standard_normal(SHAPE).astype("float32")} for _ in range(2)]
    options = {"weight_granularity": granularity, "equalize": equalize, "weight_scale": "max"}
    options |= {"weight_rounding": "nearest", "bias_correction": False, "do_simulation": True}
    config = QConfig(preset="accurate", calibrate_mode="minmax", **options)
    graph = Graph(quantize(mod, params, data, config)["main"])
    (result,) = Evaluator(graph, [graph.output])(data[0])
    return sqnr_db(model(torch.from_numpy(data[0]["x"])).numpy(), result)


def test_one_scale_for_each_channel_rescues_the_block():
    """With 70 times the step, the filters of living channels lose 6 of their 8 bits."""
    assert sqnr("channel") - sqnr("tensor") > 20  # measured: 27, from 11 to 38
    assert sqnr("channel") > 35  # 41 dB for one rounding, four of which cost 6


def test_a_dead_channel_costs_nothing_then():
    assert abs(sqnr("channel") - sqnr("channel", dead=0)) < 3


def test_without_dead_channels_one_scale_is_nearly_as_good():
    assert abs(sqnr("channel", dead=0) - sqnr("tensor", dead=0)) < 3
