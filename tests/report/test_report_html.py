"""The table in a notebook, and the page in a file."""

from html.parser import HTMLParser

import pytest

from tests.report.records import layer, record, residual, tensor
from tvm_book.report import LayerReport

VOID = {"meta", "br"}


class Page(HTMLParser):
    """Collects cells, links and ids, and finds tags that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.links, self.ids, self.open, self.tags = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag == "a":
            self.links.append(attrs["href"])
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            self.cells[-1] += data


def test_cells():
    page = Page(LayerReport(residual())._repr_html_())
    assert page.cells[:8] == [
        "#",
        "layer",
        "isolated dB",
        "accumulated dB",
        "clipped",
        "steps used",
        "of int32",
        "finding",
    ]
    assert page.cells[16:24] == [
        "1",
        "block.conv1conv2d · 1×4×8×8 · scale 0.1",  # on two lines
        "15.0",
        "14.0",
        "0%",
        "96%",
        "1.0%",
        "made_here",
    ]
    assert len(page.cells) == 48


def test_links_lead_to_explanations():
    page = Page(LayerReport(residual())._repr_html_())
    assert len(page.links) == 5
    assert sorted(page.links) == sorted(f"#{name}" for name in page.ids)
    other = Page(LayerReport(record(layer("a")))._repr_html_())
    assert not set(page.ids) & set(other.ids)


def test_bars_are_as_long_as_the_error_and_said_in_words():
    errors = record(layer("a", isolated_sqnr_db=0.0), layer("b", isolated_sqnr_db=25.0, reads=(0,)))
    text = LayerReport(errors)._repr_html_()
    widths = [piece.split("em")[0] for piece in text.split('<span style="width: ')[1:]]
    assert widths == ["3.0", "0.6", "1.5", "0.6"]  # 40 dB are a fifth before the end at 50
    assert 'title="bad"' in text
    assert 'title="fair"' in text
    exact = record(layer("a", isolated_sqnr_db=float("inf"), accumulated_sqnr_db=float("nan")))
    assert '<span style="width' not in LayerReport(exact)._repr_html_()


def test_page(tmp_path):
    report = LayerReport(residual())
    path = tmp_path / "report.html"
    report.to_html(path)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert {"table", "svg", "h1"} <= set(page.tags)
    assert "script" not in page.tags
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert len(page.ids) == len(set(page.ids)) == 5
    assert set(page.links) == {f"#{name}" for name in page.ids}
    assert len(page.links) == 10  # of rows, and of boxes
    assert report.explain().summary in text


def test_odd_names_are_escaped(tmp_path):
    odd = "<script>alert('&')</script>"
    report = LayerReport(record(layer(odd, tensor(source=odd, saturated=0.3), op=odd)))
    report.to_html(tmp_path / "report.html")
    for text in (report._repr_html_(), (tmp_path / "report.html").read_text(encoding="utf-8")):
        assert "<script" not in text
        assert any(cell.startswith(f"{odd}{odd} · ") for cell in Page(text).cells)


def test_files_are_not_replaced_unless_asked(tmp_path):
    report, path = LayerReport(residual()), tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="pass overwrite=True to replace it"):
        report.to_html(path)
    assert path.read_text() == "mine"
    report.to_html(path, overwrite=True)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(IsADirectoryError):
        report.to_html(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        report.to_html(tmp_path / "no" / "report.html")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
