"""Findings in words, as text and as HTML."""

from xml.etree import ElementTree

import numpy as np

from tests.report.records import layer, record, residual, tensor
from tvm_book.report import LayerReport


def test_printed_form():
    assert str(LayerReport(residual()).explain()).splitlines() == [
        "The output has 35.0 dB (cosine 0.9997), which is good, on 8 samples through 5 layers.",
        "▲ block.conv1: its error is made here: 15.0 dB alone, 14.0 dB with all before it.",
        "  → qconfig(skip=['block.conv1']) keeps it in float, if nothing else is found here",
        "· inherited, 1 layer: block.conv2",
        "  → look at block.conv1 first (15.0 dB alone)",
        "✓ fine, 3 layers: stem, relax.add@0, fc",
        "  → nothing to do",
    ]


def test_much_is_counted_and_lines_are_short():
    layers = [
        layer(f"block.{i}.conv", tensor(used=0.1, saturated=0.2), isolated_sqnr_db=12.0)
        for i in range(25)
    ]
    harmless = [layer(f"block.{i}.fc", tensor(calibrated=False)) for i in range(9)]
    found = LayerReport(record(*layers, *harmless)).explain()
    text = str(found).splitlines()
    assert max(map(len, text)) <= 88
    assert "... and 30 more findings of this weight" in text
    assert text[-3:] == [
        "· never_calibrated, 9 layers: block.0.fc, block.1.fc, block.2.fc, block.3.fc,",
        "  block.4.fc, block.5.fc, and 3 more",
        '  → calibrate on data: calibrate_mode="mse", or preset="accurate"',
    ]


def test_an_operator_is_said_to_be_in_its_module():
    odd = layer("relax.multiply@7", tensor(saturated=0.2), path="bn1", isolated_sqnr_db=12.0)
    found = LayerReport(record(odd)).explain()
    assert str(found).splitlines()[1].startswith("▲ relax.multiply@7 in bn1: 20% of its input")
    assert "<strong>relax.multiply@7 in bn1</strong>" in found.to_html()


def test_a_layer_with_two_findings_of_a_kind_is_counted_once():
    """Such as one for each operand of an addition."""
    channels = np.array([0.0, 1, 1, 1])
    both = layer("add", tensor(channels=channels), tensor(channels=channels, source="x"))
    found = LayerReport(record(both, layer("fc", tensor("weight", channels=channels)))).explain()
    assert [f.layer for f in found] == ["add", "add", "fc"]
    assert "· dead_channel, 2 layers: add, fc" in str(found).splitlines()
    root = ElementTree.fromstring(f"<div>{found.to_html('x-')}</div>")
    (item,) = root.findall("./ul/li")
    assert item.text == "· dead_channel, 2 layers: "
    assert [span.text for span in item.findall("span/span")] == ["add", "fc"]
    assert item.find("span").get("title") == (
        "1 of 4 channels of its input from relu (0) is 0 throughout; "
        "1 of 4 channels of its input from x (0) is 0 throughout"
    )


def test_it_is_a_sequence():
    found = LayerReport(residual()).explain()
    assert len(found) == len(list(found)) == 5
    assert found[0].layer == "block.conv1"
    assert [f.layer for f in found[3:]] == ["relax.add@0", "fc"]
    assert found.of("fc") == found.of(4) == (found[4],)
    assert found.of("none") == ()


def test_html_has_an_item_for_each_layer_and_is_escaped():
    odd = layer("a<b>&\"'", tensor(source="<script>", saturated=0.2), isolated_sqnr_db=12.0)
    found = LayerReport(record(odd, layer("fc"))).explain()
    root = ElementTree.fromstring(f"<div>{found.to_html('x-')}</div>")
    assert root.find("p").text == found.summary
    items = root.findall("./ul/li")
    assert [(x.get("id"), x.text) for x in root.iter() if x.get("id")] == [
        ("x-0", "a<b>&\"'"),
        ("x-1", "fc"),
    ]
    assert "its input from <script> is clipped" in "".join(items[0].itertext())
    assert "id=" not in found._repr_html_()


def test_nothing_is_quantized():
    found = LayerReport(record(outputs=(-1,))).explain()
    assert (len(found), str(found)) == (0, "No layer is quantized.")
