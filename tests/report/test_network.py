"""A drawn network, read as XML."""

import re
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.records import layer, record, residual
from tvm_book.report import LayerReport
from tvm_book.report._grades import GRADES
from tvm_book.report._layout import HEIGHT, fold
from tvm_book.report._ranks import GAP, ranked

SVG = "{http://www.w3.org/2000/svg}"
WIDTH = 100


def parsed(errors, error="isolated"):
    return ElementTree.fromstring(LayerReport(errors).network(error).svg)


def groups(root, name):
    return [group for group in root.iter(f"{SVG}g") if group.get("class") == name]


def edges(root):
    paths = [path for path in root.iter(f"{SVG}path") if path.get("class") == "edge"]
    return [tuple(map(int, path.get("data-edge").split())) for path in paths]


def label(group):
    return [text.text for text in group.findall(f"{SVG}text")]


def test_every_layer_is_drawn_once_and_lines_are_what_it_reads():
    root = parsed(residual())
    assert [label(group) for group in groups(root, "layer")] == [
        ["stem", "conv2d · 41.0 dB"],
        ["block.conv1", "conv2d · 15.0 dB"],
        ["block.conv2", "conv2d · 41.0 dB"],
        ["block", "add · 41.0 dB"],
        ["fc", "matmul · ∞ dB"],
    ]
    assert sorted(edges(root)) == [(0, 1), (0, 3), (1, 2), (2, 3), (3, 4), (4, 6), (5, 0)]
    assert (len(groups(root, "input")), len(groups(root, "output"))) == (1, 1)


def middle(rect):
    x, y, width, height = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
    return x + width / 2, y + height / 2


def fills(root):
    return [group.find(f"{SVG}rect").get("fill") for group in groups(root, "layer")]


def test_colours_are_those_of_the_legend():
    values = [50.0, 35.0, 25.0, 15.0, 5.0]
    errors = record(
        *(layer(f"l{i}", isolated_sqnr_db=x, reads=(i - 1,)) for i, x in enumerate(values)),
        layer("unknown", isolated_sqnr_db=float("nan"), accumulated_sqnr_db=5.0, reads=(4,)),
    )
    root = parsed(errors)
    expected = [grade.fill for grade in GRADES]
    assert fills(root)[:5] == expected
    assert fills(root)[5] not in expected
    assert fills(parsed(errors, "accumulated")) == [expected[0]] * 5 + [expected[4]]
    (legend,) = groups(root, "legend")
    assert [rect.get("fill") for rect in legend.findall(f"{SVG}rect")] == expected
    assert label(legend) == [
        "SQNR: error that each layer makes itself",
        "excellent ≥ 40 dB",
        "good ≥ 30 dB",
        "fair ≥ 20 dB",
        "poor ≥ 10 dB",
        "bad < 10 dB",
    ]


def test_tooltips_have_the_numbers():
    root = parsed(residual())
    assert groups(root, "layer")[1].find(f"{SVG}title").text.splitlines() == [
        "block.conv1 (conv2d), 1×4×8×8",
        "isolated: 15.0 dB, cosine 0.99990",
        "accumulated: 14.0 dB, cosine 0.99980",
    ]

    assert groups(root, "layer")[3].find(f"{SVG}title").text.splitlines()[:2] == [
        "relax.add@0 (add), 1×4×8×8",
        "in block",
    ]


def test_an_operator_without_a_path_is_named_once():
    root = parsed(record(layer("relax.nn.relu@2", op="relu", path="")))
    assert label(groups(root, "layer")[0]) == ["relu@2", "41.0 dB"]


def test_odd_names_are_escaped_and_long_ones_cut():
    name = "<a & 'b'>" + 30 * "x" + ".self.output.dense"
    root = parsed(record(layer(name, op='"<op>"')))
    (group,) = groups(root, "layer")
    assert label(group) == ["…xxx.self.output.dense", '"<op>" · 41.0 dB']
    assert group.find(f"{SVG}title").text.startswith(name)


def test_inputs_that_are_read_late_stand_beside_their_reader():
    chain = [layer(f"l{i}", reads=(i - 1,)) for i in range(9)]
    root = parsed(record(*chain, layer("late", reads=(8, -1))))
    assert len(groups(root, "input")) == 2
    assert (11, 9) in edges(root)
    pill, before = groups(root, "input")[1], groups(root, "layer")[8]
    middles = [middle(group.find(f"{SVG}rect")) for group in (pill, before)]
    assert middles[0][1] == middles[1][1]
    assert middles[0][0] != middles[1][0]


def test_lines_that_follow_from_others_are_left_out_where_they_are_many():
    dense = [layer(f"l{i}", reads=tuple(range(-1, i))) for i in range(8)]
    root = parsed(record(*dense))
    assert sorted(edges(root)) == [*((i, i + 1) for i in range(7)), (7, 9), (8, 0)]
    (legend,) = groups(root, "legend")
    assert "(28 lines that follow from others are left out)" in label(legend)[0]


def test_several_outputs():
    errors = record(layer("a"), layer("b", reads=(0,)), outputs=(0, 1))
    root = parsed(errors)
    assert len(groups(root, "output")) == 2
    assert {source for source, target in edges(root) if target > 2} == {0, 1}


def test_an_input_that_is_an_output_and_a_layer_that_reads_nothing():
    root = parsed(record(layer("a", reads=()), outputs=(-1, 0)))
    assert len(groups(root, "layer")) == 1
    assert (groups(root, "input"), len(groups(root, "output"))) == ([], 1)


def chain(count):
    """Return residual blocks of three, one after another."""
    found = [(i, i + 1) for i in range(count - 1)]
    return found + [(i, i + 3) for i in range(0, count - 3, 3)]


def test_a_deep_network_is_folded_into_columns():
    for count in (1, 21, 53, 80, 150):
        layout = fold(count, chain(count), WIDTH)
        assert layout.height <= max(700, 2 * layout.width), count
        assert layout.width <= 2 * max(700, layout.height), count


@st.composite
def networks(draw):
    count = draw(st.integers(1, 30))
    found = set()
    for target in range(1, count):
        sources = st.sets(st.integers(max(0, target - 6), target - 1), max_size=3)
        found |= {(source, target) for source in draw(sources)}
    return count, sorted(found)


@given(networks())
def test_boxes_do_not_touch_and_lines_pass_beside_them(network):
    count, lines = network
    boxes, paths = ranked(count, lines, WIDTH + GAP)
    for path, (source, target) in zip(paths, lines, strict=True):
        assert path[0] == boxes[source]
        assert path[-1] == boxes[target]
        assert [rank for _, rank in path] == list(range(path[0][1], path[-1][1] + 1))
        for x, rank in path[1:-1]:
            near = [abs(x - other) for other, at in boxes if at == rank]
            assert min(near, default=WIDTH) > WIDTH / 2
    for i, (x, rank) in enumerate(boxes):
        for other, at in boxes[:i]:
            assert rank != at or abs(x - other) > WIDTH
    layout = fold(count, lines, WIDTH)
    assert len(layout.boxes) == count
    for x, y in layout.boxes:
        assert WIDTH / 2 <= x <= layout.width - WIDTH / 2
        assert HEIGHT / 2 <= y <= layout.height - HEIGHT / 2
    for line in layout.lines:
        assert line.points[0] == layout.boxes[line.source]
        assert line.points[-1] == layout.boxes[line.target]
        assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in line.points)


def test_a_page_shows_it_and_a_file_keeps_it(tmp_path):
    network = LayerReport(residual()).network()
    assert network.svg in network._repr_html_()
    path = tmp_path / "net.svg"
    network.save(path)
    assert ElementTree.parse(path).getroot().tag == f"{SVG}svg"
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        network.save(path)
    network.save(path, overwrite=True)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        network.save(tmp_path / "no" / "net.svg")
    assert [each.name for each in tmp_path.iterdir()] == ["net.svg"]


def test_an_error_that_does_not_exist():
    with pytest.raises(ValueError, match="error is 'total'; choose from isolated, accumulated"):
        LayerReport(residual()).network("total")


def test_without_igraph(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "igraph", None)
    hint = 'drawing a network needs igraph: pip install "tvm-book[report]"'
    with pytest.raises(ImportError, match=re.escape(hint)):
        LayerReport(residual()).network()
    LayerReport(residual()).to_html(tmp_path / "page.html")
    assert "drawing a network needs igraph: pip install" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(("names", "count"), [(["fc"], "1 layer"), (["a", "b"], "2 layers")])
def test_the_picture_has_a_title_for_who_cannot_see_it(names, count):
    title = parsed(record(*map(layer, names))).find(f"{SVG}title").text
    assert title == f"Network of {count}, by the error that each layer makes itself"
