"""Write book/_inventories/*.inv from the table names.yml beside them.

A cross reference such as {func}`torch.jit.trace` is looked up in an inventory. Sphinx would fetch
whole inventories from the network; ours hold only the names that the book uses.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parent.parent / "book" / "_inventories"


def inventory(project: str, names: dict[str, str]) -> bytes:
    """Return the file that Sphinx calls objects.inv, version 2.

    `names` maps "role name" to an address relative to the project's documentation, in which $
    stands for the name.
    """
    lines = []
    for key, address in sorted(names.items()):
        role, name = key.split()
        lines.append(f"{name} py:{role} 1 {address.replace('$', name)} -\n")
    head = (
        "# Sphinx inventory version 2\n"
        f"# Project: {project}\n"
        "# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    return head.encode() + zlib.compress("".join(lines).encode(), 9)


def inventories() -> dict[Path, bytes]:
    """Return each inventory's path and content."""
    table = yaml.safe_load((FOLDER / "names.yml").read_text(encoding="utf-8"))
    return {FOLDER / f"{name}.inv": inventory(name, entries) for name, entries in table.items()}


if __name__ == "__main__":
    for path, content in inventories().items():
        path.write_bytes(content)
        print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
