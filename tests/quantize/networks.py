"""Small networks, and data for them, for what measures layers and searches among them."""

import numpy as np
import torch
from torch import nn

from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig
from tvm_book.testing import relative_l2


def batches(count=2, shape=(16, 16), seed=0, names="x"):
    """Batches of normal numbers for inputs of one shape."""
    rng = np.random.default_rng(seed)
    return [
        {name: rng.standard_normal(shape).astype("float32") for name in names} for _ in range(count)
    ]


CALIBRATION, EVALUATION = (batches(count, (4, 3, 8, 8), count) for count in (3, 2))
PER_TENSOR = QConfig(skip_dense_layer=False, calibrate_mode="minmax", weight_scale="max")


class Branching(nn.Module):
    """Branches, a shared operand, pooling between a rounding and its reader, a table."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.pool, self.relu = nn.MaxPool2d(2), nn.ReLU()
        self.left, self.right = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(128, 5)

    def forward(self, x):
        x = self.pool(self.relu(self.norm(self.conv1(x))))
        x = torch.sigmoid(self.left(x)) * self.right(x) + x
        return self.fc(x.flatten(1))


class TwoInputs(nn.Module):
    """Two inputs of one shape that go different ways before they meet."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.both, self.fc = nn.Conv2d(8, 8, 1), nn.Linear(8, 5)

    def forward(self, x, y):
        z = torch.cat([torch.relu(self.left(x)), self.right(y)], 1)
        return self.fc(torch.relu(self.both(z)).mean((2, 3)))


class TwoOutputs(nn.Module):
    """Returns a tuple."""

    def forward(self, x):
        return x + 1, x - 1


class Spread(nn.Module):
    """Linear layers between tanh; of the chosen ones, one row has weights that are far larger.

    The tanh behind hides how large that row's result is, and the largest weight sets the step of
    all the others.
    """

    def __init__(self, sizes, bad):
        super().__init__()
        pairs = zip(sizes[:-1], sizes[1:], strict=True)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        with torch.no_grad():
            for number, scale in bad.items():
                self.layers[number].weight[0] *= scale

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x


def imported(model, shape, *args, names="x"):
    """Make a model with the weights of seed 0, and import it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return from_pytorch(model(*args).eval(), [(name, shape) for name in names])


def spread(bad, sizes=(16, 24, 32, 24, 16, 8)):
    """Import `Spread` for `batches`."""
    return imported(Spread, (16, sizes[0]), sizes, bad)


def minus_error(reference, output):
    """Relative error with the other sign, as a callable metric."""
    return -relative_l2(reference, output)
