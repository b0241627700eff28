"""Every chapter runs from top to bottom, and says nothing on stderr."""

import time
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from jupyter_cache.cache.main import CacheBundleIn
from nbclient import NotebookClient

from tests.conftest import chapter_cache

ROOT = Path(__file__).resolve().parents[2]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [TOC["root"], *(page["file"] for part in TOC["parts"] for page in part["chapters"])]
CHAPTERS = [page for page in PAGES if "{code-cell}" in (ROOT / f"{page}.md").read_text("utf-8")]


def outputs(notebook):
    return [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run `notebook` in `folder`; an exception in a cell, or any word on stderr, fails the test."""
    # Timings in the cells' metadata would make it another notebook for the cache.
    options = {"timeout": 600, "kernel_name": "python3", "record_timing": False}
    client = NotebookClient(notebook, resources={}, **options)
    client.resources["metadata"] = {"path": str(folder)}
    client.execute()
    check_silence(notebook)


def check_silence(notebook: nbformat.NotebookNode) -> None:
    stderr = "".join(out.text for out in outputs(notebook) if out.get("name") == "stderr")
    assert stderr == ""


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter_runs(chapter):
    """With `make test`, the book takes over what was run here, and the test what the book ran."""
    path = ROOT / f"{chapter}.md"
    notebook, cache = jupytext.read(path, fmt="md:myst"), chapter_cache()
    try:
        record = cache and cache.match_cache_notebook(notebook)
    except KeyError:
        record = None
    if record:
        check_silence(cache.get_cache_bundle(record.pk).nb)
        return
    start = time.perf_counter()
    run(notebook, path.parent)
    if cache:
        data = {"execution_seconds": time.perf_counter() - start}
        bundle = CacheBundleIn(notebook, str(path), data=data)
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter_survives_jupyterlab(chapter):
    """A chapter opened and saved in JupyterLab is the same text again: no noise in a diff."""
    path = ROOT / f"{chapter}.md"
    config = jupytext.config.load_jupytext_configuration_file(str(ROOT / "jupytext.toml"))
    notebook = jupytext.read(path, config=config)
    notebook.metadata.kernelspec.display_name = "Python 3 (ipykernel)"  # as the kernel calls itself
    assert jupytext.writes(notebook, fmt="md:myst", config=config) == path.read_text("utf-8")


def book_files(suffix: str) -> set[str]:
    paths = {path.relative_to(ROOT) for path in ROOT.glob(f"book/**/*{suffix}")}
    return {str(path.with_suffix("")) for path in paths if ".ipynb_checkpoints" not in path.parts}


def test_every_chapter_is_in_the_table_of_contents():
    assert set(PAGES) == book_files(".md")


def test_no_output_is_stored():
    """Outputs are computed when the book is built; .md chapters cannot hold any, .ipynb could."""
    assert not book_files(".ipynb")


@pytest.mark.parametrize("source", ["1 / 0", "import sys; print('careful', file=sys.stderr)"])
def test_a_broken_chapter_is_noticed(source, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    with pytest.raises(Exception, match="ZeroDivisionError|careful"):
        run(notebook, tmp_path)
