"""What kind of thing a path is."""

from __future__ import annotations

from pathlib import Path

from ._folder import MODEL, RECIPE

__all__ = ["FLOAT", "kind_of"]

KINDS = {".onnx": "onnx", ".pt2": "pt2", ".so": "compiled", ".safetensors": "recipe"}
FLOAT = ("onnx", "pt2")


def kind_of(path: Path) -> str:
    """Return what a path is: ``"onnx"``, ``"pt2"``, ``"compiled"``, ``"recipe"`` or ``"folder"``.

    Raises
    ------
    FileNotFoundError, ValueError
        Nothing is there, or none of these.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if path.is_dir():
        if not any((path / name).exists() for name in (MODEL, RECIPE)):
            raise ValueError(
                f"{path} is a folder without {MODEL} or {RECIPE}: give a file, or what "
                "tvm-book quantize wrote"
            )
        return "folder"
    if path.suffix not in KINDS:
        hint = ""
        if path.suffix in (".pt", ".pth"):
            hint = ": save it with torch.export.save(torch.export.export(model, inputs), path)"
        raise ValueError(f"{path} is none of {', '.join(KINDS)}{hint}")
    return KINDS[path.suffix]
