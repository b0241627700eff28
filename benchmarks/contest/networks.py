"""The networks, trained once and kept: the file's name changes with all that weights come from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tvm_book.testing import digits

__all__ = ["data", "load", "trained"]


def data() -> digits.Split:
    """Return scikit-learn's digits, divided for training, calibration and test."""
    from sklearn.datasets import load_digits  # only here: a contestant's process is spared it

    images = load_digits()
    return digits.split(images.images, images.target)


def trained(name: str, parts: digits.Split, folder: Path, seed: int = 0) -> Path:
    """Return the file that holds a network's weights; train if there is none in `folder`."""
    path = folder / f"{name}-{_key(parts, seed)}.pt"
    if not path.exists():
        model = digits.train(name, parts.train_x, parts.train_y, seed=seed)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        torch.save(model.state_dict(), unfinished)
        unfinished.replace(path)
    return path


def load(name: str, weights: Path | str) -> nn.Module:
    """Return the network with its weights, in evaluation mode."""
    model = digits.NETWORKS[name].make()
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


def _key(parts: digits.Split, seed: int) -> str:
    digest = hashlib.sha256(f"{torch.__version__} {seed}".encode())
    for path in sorted(Path(digits.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    values: Any
    for values in (parts.train_x, parts.train_y):
        digest.update(values.tobytes())
    return digest.hexdigest()[:16]
