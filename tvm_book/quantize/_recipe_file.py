"""A recipe as bytes: a safetensors file whose metadata hold one JSON document.

Nothing in it is executed when it is read. The document says its format, and the digest of itself
and of all tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["FORMAT", "dump", "parse"]

FORMAT = 1
KEY, DIGEST = "tvm_book.recipe", "sha256"  # one key only: safetensors orders several by chance
ADVICE = "; a recipe is a file that Recipe.save wrote"


def dump(document: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> bytes:
    """Pack a document of what JSON has, and arrays."""
    from safetensors.numpy import save

    document = {"format": FORMAT, **document}
    tensors = {name: np.ascontiguousarray(x) for name, x in tensors.items()}
    document[DIGEST] = _digest(document, tensors)
    return save(tensors, metadata={KEY: json.dumps(document)})


def parse(content: bytes, name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Unpack what `dump` packed.

    Parameters
    ----------
    content : bytes
    name : str
        What errors call it.

    Raises
    ------
    ValueError
        The bytes are cut short, damaged, of something else, or of a newer format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not content:
        raise ValueError(f"{name} is empty{ADVICE}")
    try:
        metadata = _metadata(content)
    except ValueError as error:
        raise ValueError(f"{name} is no safetensors file{ADVICE}") from error
    if KEY not in metadata:
        raise ValueError(f"{name} is a safetensors file, but holds no recipe{ADVICE}")
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise ValueError(f"{name} is cut short or damaged; copy it again ({error})") from error
    document = _document(metadata[KEY])
    number = document.get("format")
    if isinstance(number, int) and number > FORMAT:
        raise ValueError(
            f"{name} has format {number}, and this version of tvm_book reads formats up to "
            f"{FORMAT}: update it (pip install -U tvm-book)"
        )
    if document.pop(DIGEST, None) != _digest(document, tensors):
        raise ValueError(f"{name} is damaged: its checksum does not match; copy it again")
    return document, tensors


def _document(text: Any) -> dict[str, Any]:
    """Read the JSON; what cannot be read has no checksum."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _metadata(content: bytes) -> dict[str, str]:
    """Read the head of a safetensors file: its size in 8 bytes, then JSON."""
    size = int.from_bytes(content[:8], "little")
    if not 2 <= size <= len(content) - 8:
        raise ValueError("the head is cut short")
    head = json.loads(content[8 : 8 + size])
    metadata = head.get("__metadata__", {}) if isinstance(head, dict) else {}
    return metadata if isinstance(metadata, dict) else {}


def _digest(document: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name, x in sorted(tensors.items()):
        digest.update(f"{name} {x.dtype} {x.shape}".encode())
        digest.update(x.tobytes())
    return digest.hexdigest()
