"""quantize: the folder that it writes replaces nothing but its own results."""

import os
import stat

import pytest

from tests.cli.commands import FILES, call, names
from tvm_book.cli._folder import new_folder


def test_the_folder_has_the_permissions_of_any_other(shop, tmp_path):
    (tmp_path / "other").mkdir()
    assert stat.S_IMODE((shop / "out").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "other").stat().st_mode
    )


def quick(shop, out, *options):
    """The quickest run that writes something."""
    return call(
        *("quantize", "net.onnx", "--recipe", "out", "--no-compile", "-o", out, *options),
        folder=shop,
    )


def test_results_are_replaced_only_by_force(shop, tmp_path):
    out = tmp_path / "o"
    out.mkdir()
    assert quick(shop, out).exit_code == 0  # an empty folder may be filled
    (out / "model.so").write_text("of an earlier run")
    result = quick(shop, out)
    assert result.exit_code == 1
    assert f"{out} has files: pass --force to replace them" in result.stderr
    assert (out / "model.so").read_text() == "of an earlier run"
    assert quick(shop, out, "--force").exit_code == 0
    assert names(out) == FILES[1:]  # what belongs to another run is gone
    assert names(tmp_path) == ["o"]


def test_files_of_others_are_never_replaced(shop, tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    result = quick(shop, tmp_path, "--force")
    assert result.exit_code == 1
    assert "has files that tvm-book did not write (thesis.tex)" in result.stderr
    assert (tmp_path / "thesis.tex").read_text() == "dear"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("file", "file is a file: give the name of a new folder"),
        ("file/out", "file is a file, not a folder"),
        ("file/in/out", "there is no folder"),
        ("missing/out", "missing: create it first"),
        (".", "itself cannot be replaced: name a folder in it"),
    ],
)
def test_places_where_no_folder_can_be_are_told(place, message, shop, tmp_path):
    (tmp_path / "file").write_text("")
    out = tmp_path / place if place != "." else shop
    result = quick(shop, out, "--force")
    assert result.exit_code == 1
    assert message in result.stderr
    assert names(tmp_path) == ["file"]


def test_a_link_to_a_folder_stays_one(shop, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert quick(shop, tmp_path / "link").exit_code == 0
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == FILES[1:]


def test_results_that_cannot_be_replaced_come_back(tmp_path, monkeypatch):
    out = tmp_path / "o"
    out.mkdir()
    (out / "model.so").write_text("old")
    rename = os.rename

    def fail(source, target):
        if source.name == "o" and target == out and source.parent.name.startswith("."):
            if not (source / "model.so").exists():
                raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="No space"), new_folder(out, force=True) as fresh:
        (fresh / "report.json").write_text("new")
    assert (out / "model.so").read_text() == "old"
    assert names(tmp_path) == ["o"]


def test_what_appears_meanwhile_is_kept(tmp_path):
    out = tmp_path / "o"
    with pytest.raises(FileExistsError, match="pass --force"), new_folder(out, force=False):
        out.mkdir()
        (out / "model.so").write_text("of somebody else")
    assert (out / "model.so").read_text() == "of somebody else"
    assert names(tmp_path) == ["o"]
