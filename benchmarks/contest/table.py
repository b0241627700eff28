"""Who takes part: a name, the module that runs it, and its options. A new contestant is a row."""

from __future__ import annotations

import fnmatch
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CONTESTANTS", "FLOAT", "OURS", "Contestant", "framework", "missing", "select"]

FLOAT = "torch/float32"
OURS = "tvm_book"


@dataclass(frozen=True)
class Contestant:
    """One way to quantize.

    Parameters
    ----------
    module : str
        Its `convert`, `quantize` and `predictor` are called.
    options : mapping
        For its `quantize`; JSON has to be able to hold them.
    needs : tuple of str
        Packages that have to be importable, beside what the library needs.
    networks : str
        Pattern of the networks that this one is for.
    """

    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    networks: str = "*"


def _tvm_book(preset: str, mode: str, **options: Any) -> tuple[str, Contestant]:
    options = {"preset": preset, "calibrate_mode": mode, **options}
    return f"{OURS}/{preset}/{mode}", Contestant("contest.tvm_book_", options)


def _relay(mode: str, **options: Any) -> tuple[str, Contestant]:
    # Everything in integers, as the others do it; the images go up to 16, not to Relay's 8.
    everything = {"skip_conv_layers": [], "skip_dense_layer": False}
    return _tvm_book("relay", mode, **everything, **options)


def _onnxruntime(activation: str, method: str) -> tuple[str, Contestant]:
    options = {"activation": f"Q{activation}", "method": method}
    needs = ("onnx", "onnxruntime", "onnxscript")
    return f"onnxruntime/{activation}/{method}", Contestant("contest.onnxruntime_", options, needs)


def _nncf(name: str, networks: str = "*", **options: Any) -> tuple[str, Contestant]:
    return f"nncf/{name}", Contestant("contest.nncf_", options, ("openvino", "nncf"), networks)


def _torchao(name: str, networks: str = "*", **options: Any) -> tuple[str, Contestant]:
    return f"torchao/{name}", Contestant("contest.torchao_", options, ("torchao",), networks)


_TRANSFORMER = {"preset": "MIXED", "model_type": "TRANSFORMER"}
# Its documented ways to more accuracy, and the full range of the weights: the fix for processors
# whose int8 products overflow is not needed to compute right values here.
_TUNED = {"fast_bias_correction": False, "ranges": "MINMAX", "overflow_fix": "DISABLE"}

CONTESTANTS: dict[str, Contestant] = dict(
    [
        (FLOAT, Contestant("contest.torch_")),
        _relay("global_scale", global_scale=16.0),
        _relay("percentile"),
        _relay("kl_divergence"),
        _tvm_book("accurate", "minmax"),
        _tvm_book("accurate", "moving_average"),
        _tvm_book("accurate", "percentile"),
        _tvm_book("accurate", "kl_divergence"),
        _tvm_book("accurate", "mse"),
        _onnxruntime("UInt8", "MinMax"),
        _onnxruntime("UInt8", "Entropy"),
        _onnxruntime("UInt8", "Percentile"),
        _onnxruntime("Int8", "MinMax"),
        _onnxruntime("Int8", "Entropy"),
        _onnxruntime("Int8", "Percentile"),
        _nncf("default"),
        _nncf("mixed", preset="MIXED"),
        _nncf("mixed, bias", preset="MIXED", fast_bias_correction=False),
        _nncf("mixed, tuned", preset="MIXED", **_TUNED),
        _nncf("transformer", "vit", **_TRANSFORMER),
        _nncf("transformer, unsmoothed", "vit", **_TRANSFORMER, smooth_quant=False),
        _nncf("transformer, tuned", "vit", **_TRANSFORMER, **_TUNED, smooth_quant=False),
        _torchao("x86"),
        _torchao("x86, matmul", "vit", matmul=True),
    ]
)


def select(patterns: Iterable[str], table: Mapping[str, Any]) -> list[str]:
    """Return the keys that match any of the patterns, in the order of the table.

    Raises
    ------
    ValueError
        If a pattern matches nothing.

    Examples
    --------
    >>> select(["nncf/m*", "torchao/x86"], CONTESTANTS)
    ['nncf/mixed', 'nncf/mixed, bias', 'nncf/mixed, tuned', 'torchao/x86']
    """
    chosen = set()
    for pattern in patterns:
        matches = fnmatch.filter(table, pattern)
        if not matches:
            raise ValueError(f"nothing is called {pattern!r}; there are: {'; '.join(table)}")
        chosen.update(matches)
    return [key for key in table if key in chosen]


def missing(contestant: Contestant) -> list[str]:
    """Return the packages that a contestant needs and that are not installed."""
    return [name for name in contestant.needs if importlib.util.find_spec(name) is None]


def framework(name: str) -> str:
    """Return "nncf" for "nncf/mixed"."""
    return name.split("/")[0]
