"""Tables for people, rows for programs."""

import dataclasses
import io
import json
import math
import sys

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.report.records import layer, record, residual, tensor
from tvm_book.report import LayerReport

FC = {
    "position": 4,
    "layer": "fc",
    "op": "matmul",
    "path": "fc",
    "selector": "fc",
    "shape": (1, 10),
    "isolated_sqnr_db": math.inf,
    "isolated_cosine": 0.9999,
    "accumulated_sqnr_db": 40.0,
    "accumulated_cosine": 0.9998,
    "scale": float(np.float32(0.1)),
    "saturated": 0.0,
    "used": 0.96,
    "accumulator": 0.01,
    "operations": 1000,
    "reads": (3,),
    "finding": "fine",
    "severity": "none",
}
INPUT = {
    "kind": "input",
    "source": "relu",
    "scale_min": float(np.float32(0.1)),
    "scale_max": float(np.float32(0.1)),
    "zero_point": 0,
    "low": -128,
    "high": 127,
    "minimum": -12.0,
    "maximum": 12.5,
    "saturated": 0.0,
    "used": 0.96,
    "channels": 4,
    "channels_zero": 0,
    "channel_median": 11.5,
    "channel_max": 12.5,
    "calibrated": True,
}


def printed(report, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    return [line.rstrip() for line in str(report).splitlines()]


def test_printed_form(monkeypatch):
    report = LayerReport(residual())
    assert printed(report, 90, monkeypatch) == [
        "The output has 35.0 dB (cosine 0.9997), which is good, on 8 samples through 5",
        "layers.",
        "┏━━━┳━━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━┳━━━━━━━┳━━━━━━━━━━━┓",
        "┃   ┃             ┃ isolated ┃ accumulated ┃         ┃ steps ┃    of ┃           ┃",
        "┃ # ┃ layer       ┃       dB ┃          dB ┃ clipped ┃  used ┃ int32 ┃ finding   ┃",
        "┡━━━╇━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━╇━━━━━━━╇━━━━━━━━━━━┩",
        "│ 0 │ stem        │     41.0 │        40.0 │      0% │   96% │  1.0% │ fine      │",
        "│ 1 │ block.conv1 │     15.0 │        14.0 │      0% │   96% │  1.0% │ made_here │",
        "│ 2 │ block.conv2 │     41.0 │        16.0 │      0% │   96% │  1.0% │ inherited │",
        "│ 3 │ relax.add@0 │     41.0 │        40.0 │      0% │   96% │       │ fine      │",
        "│ 4 │ fc          │        ∞ │        40.0 │      0% │   96% │  1.0% │ fine      │",
        "└───┴─────────────┴──────────┴─────────────┴─────────┴───────┴───────┴───────────┘",
    ]
    assert repr(report) == str(report)


@pytest.mark.parametrize(
    ("width", "missing"),
    [
        (101, []),
        (100, ["shape"]),
        (91, ["shape"]),
        (90, ["shape", "op"]),
        (40, ["shape", "op", "int32", "used", "clipped"]),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns_and_no_longer_lines(width, missing, monkeypatch):
    lines = printed(LayerReport(residual()), width, monkeypatch)
    assert max(map(len, lines)) <= width
    heading = " ".join(lines[:9])
    words = ["shape", "op ", "int32", "used", "clipped"]
    assert [word.strip() for word in words if word not in heading] == missing
    assert "layer" in heading


def rows_of(table):
    return list(zip(*(list(column.cells) for column in table.columns), strict=True))


def test_table_is_sorted_and_limited():
    report = LayerReport(residual())
    table = report.table(limit=2, sort="isolated_sqnr_db")
    assert [str(row[1]) for row in rows_of(table)] == ["block.conv1", "stem"]
    assert table.title.endswith(" 2 of 5 layers:")
    assert [str(row[0]) for row in rows_of(report.table())] == ["0", "1", "2", "3", "4"]
    last = rows_of(report.table(sort="accumulator"))[-1]  # of a sum that is none
    assert str(last[1]) == "relax.add@0"
    largest = record(layer("a", accumulator=0.1), layer("b", accumulator=0.3))
    assert str(rows_of(LayerReport(largest).table(sort="accumulator"))[0][1]) == "b"
    assert rows_of(report.table(limit=0)) == []


def test_names_are_no_markup():
    report = LayerReport(record(layer("[red]x[/red]")))
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(report)
    assert "[red]x[/red]" in console.export_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sort": "layer"}, "sort is 'layer'; choose from isolated_sqnr_db, isolated_cosine"),
        ({"limit": -1}, "limit is -1; give the number of rows, or None for all"),
    ],
)
def test_bad_table(options, message):
    with pytest.raises(ValueError, match=message):
        LayerReport(residual()).table(**options)


def test_rows():
    rows = LayerReport(residual()).rows()
    assert rows[4] == FC
    assert [(row["finding"], row["severity"]) for row in rows] == [
        ("fine", "none"),
        ("made_here", "high"),
        ("inherited", "low"),
        ("fine", "none"),
        ("fine", "none"),
    ]
    assert math.isnan(rows[3]["accumulator"])


def test_a_row_has_the_worst_of_its_operands():
    operands = tensor(saturated=0.2, used=0.5), tensor("weight", saturated=0.1, used=0.4)
    (row,) = LayerReport(record(layer("a", *operands))).rows()
    assert (row["saturated"], row["used"], row["finding"]) == (0.2, 0.4, "clipped")


def test_json():
    errors = residual()
    document = json.loads(LayerReport(errors).to_json(), parse_constant=pytest.fail)
    assert list(document) == [
        "format",
        "samples",
        "output_sqnr_db",
        "output_cosine",
        "outputs",
        "layers",
        "findings",
    ]
    assert document["outputs"] == [4]
    weight = INPUT | {"kind": "weight", "source": "const", "operand": 1}
    assert document["layers"][4] == FC | {
        "shape": [1, 10],
        "reads": [3],
        "isolated_sqnr_db": "Infinity",
        "operands": [INPUT | {"operand": 0}, weight],
    }
    assert document["layers"][3]["accumulator"] is None
    assert document["findings"][0] == {
        "layer": "block.conv1",
        "position": 1,
        "kind": "made_here",
        "severity": "high",
        "sentence": "its error is made here: 15.0 dB alone, 14.0 dB with all before it",
        "advice": "qconfig(skip=['block.conv1']) keeps it in float, if nothing else is found here",
        "path": "block.conv1",
    }
    assert json.loads(LayerReport(errors).to_json(indent=None)) == document
    assert LayerReport(errors).to_dict() == document


def test_numpy_numbers_become_plain_ones():
    errors = record(
        layer(
            "a",
            tensor(minimum=np.float32(-1), saturated=np.float64(0.5), zero_point=np.int64(3)),
            isolated_sqnr_db=np.float32(12),
            shape=tuple(np.array([1, 2])),
        ),
        sqnr=np.float64("-inf"),
    )
    document = json.loads(LayerReport(errors).to_json())
    assert document["output_sqnr_db"] == "-Infinity"
    assert document["layers"][0]["operands"][0]["zero_point"] == 3


def test_frame():
    report = LayerReport(residual())
    frame = report.frame()
    assert list(frame.columns) == list(FC)
    assert frame.loc[4].to_dict() == FC
    assert str(frame.dtypes["isolated_sqnr_db"]) == "float64"
    operands = report.frame("operands")
    assert len(operands) == 10
    assert operands.loc[8].to_dict() == {"position": 4, "layer": "fc", "operand": 0, **INPUT}
    with pytest.raises(ValueError, match="of is 'tensors'; choose 'layers' or 'operands'"):
        report.frame("tensors")
    pd.testing.assert_frame_equal(frame, pd.DataFrame(report.rows()))


def test_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        ImportError, match=r'a frame needs pandas: pip install "tvm-book\[report\]"'
    ):
        LayerReport(residual()).frame()
    LayerReport(residual()).to_json()


def test_no_layer(monkeypatch):
    report = LayerReport(record(outputs=(-1,)))
    assert printed(report, 160, monkeypatch)[0] == "No layer is quantized."
    assert (report.rows(), len(report.frame()), report.to_dict()["layers"]) == ([], 0, [])
    assert "<svg" in report.network().svg


def test_other_things_are_refused():
    with pytest.raises(TypeError, match="errors is a dict; pass what quantize.layer_errors"):
        LayerReport({})


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LayerReport(residual()).errors = None


def test_plot_has_both_errors():
    ax = LayerReport(residual()).plot().axes[0]
    names = [text.get_text() for text in ax.get_xticklabels()]
    assert names == ["stem", "block.conv1", "block.conv2", "add@0", "fc"]
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_array_equal(lines["accumulated"], [40, 14, 16, 40, 40])
    np.testing.assert_array_equal(lines["isolated"], [41, 15, 41, 41, np.nan])  # and a hollow mark
