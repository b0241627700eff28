"""Recorded results of Relay's quantizer: cases, their torch models, configurations and outputs.

A case is a folder: ``graph.json`` (the network), ``tensors.npz`` (input, weights, calibration
batches), ``configs.json`` and ``expected.npz`` (what Relay computed for each configuration).
The project keeps them in ``tests/golden``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["GoldenCase", "golden_cases", "golden_failures"]

_NOT_WEIGHTS = ("data", "calib")


@dataclass(frozen=True)
class GoldenCase:
    """One network and everything that was recorded about it.

    Parameters
    ----------
    folder : pathlib.Path
    """

    folder: Path

    @property
    def name(self) -> str:
        """Name of the case."""
        return self.folder.name

    @cached_property
    def graph(self) -> dict[str, Any]:
        """Nodes, input and output of the network."""
        return json.loads((self.folder / "graph.json").read_text())

    @cached_property
    def configs(self) -> dict[str, dict[str, Any]]:
        """Per key: ``qconfig`` options, ``opt_level``, ``exactness``, Relay's printed result."""
        return json.loads((self.folder / "configs.json").read_text())

    @cached_property
    def meta(self) -> dict[str, Any]:
        """How the case was made, and the imported Relay function."""
        return json.loads((self.folder / "meta.json").read_text())

    @cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        """Input ``data``, weights, calibration batches ``calib``."""
        return dict(np.load(self.folder / "tensors.npz"))

    @cached_property
    def expected(self) -> dict[str, np.ndarray]:
        """``float_out``, and per key ``out_<key>`` and ``scales_<key>``."""
        return dict(np.load(self.folder / "expected.npz"))

    @property
    def data(self) -> np.ndarray:
        """The input, float32."""
        return self.tensors["data"]

    @property
    def dataset(self) -> list[dict[str, np.ndarray]] | None:
        """Calibration batches, or None if the case has none."""
        batches = self.tensors.get("calib")
        return None if batches is None else [{"data": batch} for batch in batches]

    def torch_module(self) -> Any:
        """Return the network as a `torch.nn.Module` with weights as buffers."""
        return _torch_module(self.graph, self.tensors)


def golden_cases(root: str | Path) -> list[GoldenCase]:
    """List the cases below ``root``, by name."""
    return [GoldenCase(path.parent) for path in sorted(Path(root).glob("*/graph.json"))]


def golden_failures(root: str | Path) -> list[dict[str, Any]]:
    """List what Relay itself could not do: case, ``cfgkey``, ``qconfig``, category, explanation."""
    return json.loads((Path(root) / "relay_failures.json").read_text())


def _torch_module(graph: dict[str, Any], tensors: dict[str, np.ndarray]) -> Any:
    import torch
    from torch.nn import functional

    operators = _torch_operators(torch, functional)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, value in tensors.items():
                if name not in _NOT_WEIGHTS:
                    self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(value)))

        def forward(self, data):
            values = {**self._buffers, graph["input"]["name"]: data}
            for node in graph["nodes"]:
                operands = [values[name] for name in node["inputs"]]
                values[node["name"]] = operators[node["op"]](operands, node["attrs"])
            return values[graph["output"]]

    return Network().eval()


def _torch_operators(torch: Any, functional: Any) -> dict[str, Any]:
    def conv(function):
        names = ("stride", "padding", "dilation", "groups")
        return lambda x, a: function(*x, **{name: a[name] for name in names})

    def pool(function, *names):
        return lambda x, a: function(x[0], a["kernel"], **{name: a[name] for name in names})

    def batch_norm(x, a):
        data, gamma, beta, mean, variance = x
        return functional.batch_norm(data, mean, variance, gamma, beta, eps=a["eps"])

    mean_pool = lambda x, a: functional.adaptive_avg_pool2d(x[0], 1)  # noqa: E731
    average = ("stride", "padding", "ceil_mode", "count_include_pad")
    return {
        "conv2d": conv(functional.conv2d),
        "conv1d": conv(functional.conv1d),
        "linear": lambda x, a: functional.linear(*x),
        "matmul": lambda x, a: torch.matmul(*x),
        "relu": lambda x, a: functional.relu(*x),
        "sigmoid": lambda x, a: torch.sigmoid(*x),
        "clip": lambda x, a: functional.hardtanh(x[0], a["min"], a["max"]),
        "max_pool2d": pool(functional.max_pool2d, "stride", "padding", "ceil_mode"),
        "avg_pool2d": pool(functional.avg_pool2d, *average),
        "adaptive_avg_pool2d": mean_pool,
        # no torch spelling of its own: rewritten after the import
        "global_avg_pool2d": mean_pool,
        "add": lambda x, a: x[0] + x[1],
        "mul": lambda x, a: x[0] * x[1],
        "cat": lambda x, a: torch.cat(x, a["axis"]),
        "flatten": lambda x, a: torch.flatten(x[0], a["start"]),
        "reshape": lambda x, a: torch.reshape(x[0], a["shape"]),
        "permute": lambda x, a: x[0].permute(a["dims"]),
        "batch_norm": batch_norm,
    }
