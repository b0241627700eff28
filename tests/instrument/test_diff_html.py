"""diff_html: which lines stand side by side, what is marked, and what the table says."""

import re
from html.parser import HTMLParser
from typing import NamedTuple

import pytest
import tvm
from tvm.script import ir as I
from tvm.script import relax as R

from tests.instrument.modules import with_constant
from tvm_book.instrument import SideBySide, compact_script, diff_html, diff_modules


@I.ir_module
class Before:
    @R.function
    def main(x: R.Tensor((4,), "float32")) -> R.Tensor((4,), "float32"):
        with R.dataflow():
            a = R.exp(x)
            b = R.add(a, R.const(1.0, "float32"))
            c = R.nn.relu(b)
            R.output(c)
        return c


@I.ir_module
class After:
    @R.function
    def main(x: R.Tensor((4,), "float32")) -> R.Tensor((4,), "float32"):
        with R.dataflow():
            a = R.multiply(x, R.const(3.0, "float32"))
            a1 = R.exp(a)
            b = R.add(a1, R.const(2.5, "float32"))
            c = R.nn.relu(b)
            R.output(c)
        return c


class Cell(NamedTuple):
    """A cell of the table; `text` marks changed words as ``[-old-]`` and ``[+new+]``."""

    tag: str
    attributes: dict
    text: str


class TableParser(HTMLParser):
    """Collect the cells of each row; unclosed and stray tags are errors."""

    VOID = {"col", "meta"}

    def __init__(self, html):
        super().__init__()
        self.rows, self.open, self.cell, self.text = [], [], None, ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag in self.VOID:
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.cell, self.text = dict(attributes), ""
        self.text += {"del": "[-", "ins": "[+"}.get(tag, "")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.text += {"del": "-]", "ins": "+]"}.get(tag, "")
        if tag in ("td", "th"):
            self.rows[-1].append(Cell(tag, self.cell, self.text))

    def handle_data(self, data):
        self.text += data.replace("\N{NO-BREAK SPACE}", " ")


def rows(diff):
    return [[cell.text for cell in row] for row in TableParser(diff.html).rows]


def test_the_whole_table():
    """Lines that call the same function stand side by side, and their words are marked."""
    assert rows(diff_html(Before, After, context=1)) == [
        ["before", "after"],
        ["… 4 equal lines"],
        ["5  ", "        with R.dataflow():", "5  ", "        with R.dataflow():"],
        ["", "6 +", "            a: float32[4] = R.multiply(x, 3.0)"],
        [
            "6 −",
            "            [-a-]: float32[4] = R.exp([-x-])",
            "7 +",
            "            [+a1+]: float32[4] = R.exp([+a+])",
        ],
        [
            "7 −",
            "            b: float32[4] = R.add([-a-], [-1.0-])",
            "8 +",
            "            b: float32[4] = R.add([+a1+], [+2.5+])",
        ],
        [
            "8  ",
            "            c: float32[4] = R.nn.relu(b)",
            "9  ",
            "            c: float32[4] = R.nn.relu(b)",
        ],
        ["… 2 equal lines"],
    ]


def column(diff, side):
    """Return the numbers and unmarked lines of one script, as they stand in the table."""
    lines = []
    for row in TableParser(diff.html).rows[1:]:
        places, at = {}, 0
        for cell in row:
            places[at] = cell.text
            at += int(cell.attributes.get("colspan", 1))
        if 2 * side + 1 in places:
            number, text = places[2 * side], places[2 * side + 1]
            lines.append((int(number[:-2]), re.sub(r"\[[-+]|[-+]\]", "", text)))
    return lines


def test_no_line_is_lost_when_nothing_is_folded():
    diff = diff_html(Before, After, context=None)
    for side, mod in enumerate((Before, After)):
        assert column(diff, side) == list(enumerate(compact_script(mod).splitlines(), start=1))


def test_header_cells_and_signs_tell_what_colours_tell():
    head, *body = TableParser(diff_html(Before, After, names=("old", "new")).html).rows
    assert [(cell.tag, cell.attributes, cell.text) for cell in head] == [
        ("th", {"scope": "colgroup", "colspan": "2"}, name) for name in ("old", "new")
    ]
    signs = {None: "  ", "tvm-diff-old": " −", "tvm-diff-new": " +"}
    numbers = [cell for row in body for cell in row if cell.tag == "th"]
    assert {cell.attributes["scope"] for cell in numbers} == {"row"}
    for cell in numbers:
        assert cell.text.lstrip("0123456789") == signs[cell.attributes.get("class")]
    for row in body:
        assert sum(int(cell.attributes.get("colspan", 1)) for cell in row) == 4


def test_the_script_is_shortened_unless_asked_not_to():
    whole = diff_html(Before, After, compact=False)
    assert whole.before == Before.script(show_meta=False)
    assert diff_html(Before, After).before == compact_script(Before)
    assert str(diff_html(Before, After, compact=False, context=2)) == diff_modules(Before, After)


def test_text_is_the_unified_diff():
    diff = diff_html(Before, After, names=("one", "two"), context=0)
    assert repr(diff) == str(diff)
    assert str(diff).splitlines() == [
        "--- one",
        "+++ two",
        "@@ -6,2 +6,3 @@",
        "-            a: float32[4] = R.exp(x)",
        "-            b: float32[4] = R.add(a, 1.0)",
        "+            a: float32[4] = R.multiply(x, 3.0)",
        "+            a1: float32[4] = R.exp(a)",
        "+            b: float32[4] = R.add(a1, 2.5)",
    ]
    every = str(diff_html(Before, After, context=None)).splitlines()[3:]
    shown = [line[1:] for line in every if line[0] != "+"]
    assert shown == compact_script(Before).splitlines()


def test_what_a_script_contains_is_text():
    """Nothing of a script or a name becomes a tag."""
    script = '<script>alert("&amp;")</script>\n# a < b'
    diff = SideBySide(("<i>", "a & b"), script, script.replace("amp", "lt"), None)
    assert "<script" not in diff.html and "<i>" not in diff.html
    assert rows(diff) == [
        ["<i>", "a & b"],
        [
            "1 −",
            '<script>alert("&[-amp-];")</script>',
            "1 +",
            '<script>alert("&[+lt+];")</script>',
        ],
        ["2  ", "# a < b", "2  ", "# a < b"],
    ]


def test_equal_modules_say_so():
    diff = diff_html(Before, tvm.script.from_source(Before.script()))
    assert str(diff) == "(there is no difference)"
    assert rows(diff) == [["before", "after"], [str(diff)], ["… 10 equal lines"]]


def test_what_the_script_hides_is_mentioned():
    one, two = with_constant(1.0), with_constant(2.0)
    assert str(diff_html(one, two)) == diff_modules(one, two)
    assert rows(diff_html(one, two))[1] == [diff_modules(one, two)]
    assert str(diff_html(one, with_constant(1.0))) == "(there is no difference)"


def test_what_shortening_hides_is_mentioned():
    marked = tvm.IRModule({"main": Before["main"].with_attr("mark", 1)})
    assert str(diff_html(Before, marked)).endswith("pass compact=False)")
    assert '"mark": 1' in str(diff_html(Before, marked, compact=False))


def test_functions_can_be_compared():
    assert diff_html(Before["main"], After["main"]).before == compact_script(Before["main"])


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((Before, After), {"context": -1}, ValueError, "context must not be negative, got -1"),
        ((Before, After), {"names": ("one",)}, ValueError, "names must be two.*got \\('one',\\)"),
        ((Before, None), {}, TypeError, "after must be a module or a function, not NoneType"),
    ],
)
def test_wrong_arguments_are_those_of_diff_modules(arguments, options, error, message):
    with pytest.raises(error, match=message):
        diff_html(*arguments, **options)


def test_a_notebook_shows_the_fragment_and_nothing_else_is_needed():
    diff = diff_html(Before, After)
    assert diff._repr_html_() == diff.html
    assert "<script" not in diff.html and "http" not in diff.html
    # The book's dark theme puts any other output into a light box.
    assert '<table class="dataframe ' in diff.html


def test_it_cannot_be_changed():
    with pytest.raises(AttributeError):
        diff_html(Before, After).names = ("a", "b")


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    diff, path = diff_html(Before, After, names=("a<b", "c")), tmp_path / "diff.html"
    diff.save(path)
    text = path.read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>\n") and text.count(diff.html) == 1
    assert "<title>a&lt;b → c</title>" in text and '<meta charset="utf-8">' in text
    with pytest.raises(FileExistsError, match="diff.html exists: pass overwrite=True"):
        diff.save(path)
    other = diff_html(Before, Before)
    other.save(path, overwrite=True)
    assert other.html in path.read_text("utf-8")

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"):
        diff.save(path, overwrite=True)
    assert other.html in path.read_text("utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["diff.html"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*missing"):
        diff_html(Before, After).save(tmp_path / "missing" / "diff.html")
    assert list(tmp_path.iterdir()) == []
