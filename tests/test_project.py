"""The project's own promises: its layout, its documentation, its dependencies."""

import ast
import importlib.metadata
import pydoc
import re
import runpy
import sys
import zlib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "tvm_book").rglob("*.py"))
READMES = ["README.md", "README.zh.md"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def imports(path: Path) -> set[str]:
    """Return the modules that a source file imports, anywhere in it, by their full names."""
    package = path.relative_to(ROOT).parent.parts
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def room(module: str) -> str:
    """Return the part of tvm_book that `module` belongs to: "quantize", "runtime", ..."""
    return (module.split(".") + [""])[1] if module.split(".")[0] == "tvm_book" else ""


ORDER = ["frontend", "quantize", "backend", "runtime"]  # data flows this way
HELPERS = ["testing", "instrument", "viz"]
EXTRAS = ["onnx", "report"]  # the library's own; the others are for tests, book and benchmarks


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_from_rooms_before_it(path):
    here = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    used = {room(module) for module in imports(path)}
    if here in ORDER:
        assert not used & set(ORDER[ORDER.index(here) + 1 :])
    if here == "testing":
        assert not used & set(ORDER + HELPERS) - {"testing"}
    if here == "report":
        assert not used & {"backend", "runtime", "cli"}
    if here in ORDER + HELPERS:
        assert "report" not in used


def test_the_library_needs_only_what_it_declares():
    """`pip install .` brings no book tool and no test tool, so the library may use none.

    Extras that are the library's own, such as an importer's, count as declared.
    """
    requirements = importlib.metadata.requires("tvm-book")
    extras = [re.search(r'extra == "(.+?)"', r) for r in requirements]
    own = [
        r for r, e in zip(requirements, extras, strict=True) if e is None or e.group(1) in EXTRAS
    ]
    declared = {re.match(r"[\w-]+", r).group() for r in own}
    distributions = {"tvm": "apache-tvm", "tvm_ffi": "apache-tvm-ffi"}
    used = {module.split(".")[0] for path in SOURCES for module in imports(path)}
    foreign = used - set(sys.stdlib_module_names) - {"tvm_book", ""}
    assert {distributions.get(module, module) for module in foreign} <= declared


def test_every_folder_is_a_package():
    """A folder without __init__.py would be left out of an installed copy."""
    assert not {path.parent for path in SOURCES if not (path.parent / "__init__.py").exists()}


def test_version_is_the_installed_one_and_in_the_changelog():
    import tvm_book

    version = importlib.metadata.version("tvm-book")
    assert tvm_book.__version__ == version
    assert f"## {version}" in text("CHANGELOG.md")


def test_inventories_are_what_the_script_makes():
    script = runpy.run_path(str(ROOT / "scripts" / "make_inventories.py"))
    made = script["inventories"]()
    assert sorted(made) == sorted((ROOT / "book" / "_inventories").glob("*.inv"))
    for path, expected in made.items():
        # Compare what is packed: another build of zlib may pack the same text into other bytes.
        assert unpack(path.read_bytes()) == unpack(expected)


def unpack(inventory: bytes) -> tuple[bytes, bytes]:
    *head, packed = inventory.split(b"\n", 4)
    return b"\n".join(head), zlib.decompress(packed)


def inventory_names():
    table = yaml.safe_load(text("book/_inventories/names.yml"))
    return sorted(key.split()[1] for names in table.values() for key in names)


def test_inventory_names_exist():
    """A name that its project has dropped or renamed is found here, not by a reader's click."""
    assert [name for name in inventory_names() if pydoc.locate(name) is None] == ["None"]


def test_every_inventory_has_an_address():
    mapping = yaml.safe_load(text("_config.yml"))["sphinx"]["config"]["intersphinx_mapping"]
    table = yaml.safe_load(text("book/_inventories/names.yml"))
    assert {name: f"book/_inventories/{name}.inv" for name in table} == {
        name: path for name, (_, path) in mapping.items()
    }


@pytest.mark.parametrize("readme", [*READMES, "CONTRIBUTING.md"])
def test_documented_make_targets_exist(readme):
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), flags=re.MULTILINE))
    documented = set(re.findall(r"\bmake ([a-z-]+)", text(readme)))
    assert documented
    assert documented <= targets


@pytest.mark.parametrize("readme", READMES)
def test_readme_example_runs(readme, tmp_path, monkeypatch, capsys):
    example = "".join(re.findall(r"```python\n(.*?)```", text(readme), flags=re.DOTALL))
    monkeypatch.chdir(tmp_path)
    exec(compile(example, f"<{readme}>", "exec"), {"__name__": "__main__"})
    lines = capsys.readouterr().out.splitlines()  # a profile among them, which differs each time
    printed = [f"{float(line):.3f}" for line in lines if re.fullmatch(r"[\d.]+", line)]
    assert printed == re.findall(r"print\(.*\)  # ([\d.]+)", example)
