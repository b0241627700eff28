"""Real files for the command line: models, data, and what quantize makes of them."""

import numpy as np
import onnx
import pytest
import torch

from tests.cli.commands import CALIBRATION, SHAPE, call, network, samples


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """A folder with net.onnx, any.onnx (dynamic batch), net.pt2, any.pt2, data.npz and out."""
    folder = tmp_path_factory.mktemp("shop")
    onnx.save(network(1), folder / "net.onnx")
    onnx.save(network("N"), folder / "any.onnx")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
    batch = torch.zeros(2, *SHAPE)
    torch.export.save(torch.export.export(model, (batch[:1],)), folder / "net.pt2")
    sizes = ({0: torch.export.Dim("N")},)
    program = torch.export.export(model, (batch,), dynamic_shapes=sizes)
    torch.export.save(program, folder / "any.pt2")
    np.savez(folder / "data.npz", data=samples(6))
    np.savez(folder / "torch.npz", input=samples(6))
    result = call("quantize", folder / "net.onnx", *CALIBRATION, folder=folder)
    assert (result.exit_code, result.stderr) == (0, "")
    return folder


@pytest.fixture
def invoke(shop):
    """A function that runs a command in this process, in the shop."""
    return lambda *args: call(*args, folder=shop)
