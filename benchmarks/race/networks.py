"""The networks, of any batch and image size; weights and inputs are those of a seed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from tvm_book.testing.models import MODELS, PUBLISHED, ModelSpec
from tvm_book.testing.models._bert import Bert

__all__ = ["NETWORKS", "PUBLISHED_SIZES", "inputs", "model"]

# BERT-Mini: Turc et al. (2019), arXiv:1908.08962; sentences of 128 tokens.
_BERT_MINI = dataclasses.replace(
    PUBLISHED["bert_tiny"],
    name="bert_mini",
    construct=functools.partial(Bert, 256, 4, 4, length=128),
    inputs=(("ids", ((1, 128), "int64")),),
)
PUBLISHED_SIZES: Mapping[str, ModelSpec] = {
    **{name: PUBLISHED[name] for name in ("resnet18", "resnet50", "mobilenet_v2", "vit_tiny")},
    "bert_mini": _BERT_MINI,
}
NETWORKS: Mapping[str, ModelSpec] = {
    **PUBLISHED_SIZES,
    **{f"small/{name}": spec for name, spec in MODELS.items()},
}


def model(job: Mapping[str, Any]) -> nn.Module:
    """Return the network in evaluation mode; its weights depend on its name alone."""
    return NETWORKS[job["network"]].build()


def inputs(job: Mapping[str, Any], count: int = 1) -> list[np.ndarray]:
    """Return inputs of the batch and image size (None: the published one) that a job names."""
    spec = NETWORKS[job["network"]]
    ((name, described),) = spec.inputs
    shape, dtype = described if isinstance(described[0], tuple) else (described, "float32")
    shape = (job["batch"], *shape[1:])
    if job["size"] is not None:
        shape = (*shape[:-2], job["size"], job["size"])
    spec = dataclasses.replace(spec, inputs=((name, (shape, dtype)),))
    return [sample[name] for sample in spec.sample(count=count)]
