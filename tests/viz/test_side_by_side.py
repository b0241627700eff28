"""Relay's printed functions, next to ours."""

from pathlib import Path

import pytest

from tvm_book import conformance
from tvm_book.testing.golden import GoldenCase
from tvm_book.viz import side_by_side

GOLDEN = Path(__file__).parents[1] / "golden"


def rows_of(name, key):
    case = GoldenCase(GOLDEN / name)
    qmod = conformance.quantize_case(case, key, *conformance.import_case(case))
    relay_ir = case.configs[key]["relay_ir"]
    operators = [line for line in relay_ir.splitlines() if " : " in line]
    rows = side_by_side(relay_ir, qmod)
    # nothing that Relay printed is lost
    assert sum(row["Relay"] is not None for row in rows) == len(operators)
    return rows


def test_every_line_of_one_layer():
    floats, ints, bytes_ = (f"{dtype}[1,16,4,4]" for dtype in ("float32", "int32", "int8"))
    assert [tuple(row.values()) for row in rows_of("seed_normal", "o2__skip_none")] == [
        ("multiply 16", "multiply 16", floats),
        ("round", "round_half_away", floats),
        ("clip -127 127", "clip -127 127", floats),
        ("cast int8", "astype int8", bytes_),
        ("nn.conv2d int8[16,16,3,3]", "nn.conv2d int8[16,16,3,3]", ints),
        ("add 128", "add 128", ints),
        ("right_shift 8", "right_shift 8", ints),
        ("clip -127 127", "clip -127 127", ints),
        ("cast int8", "astype int8", bytes_),
        ("annotation.stop_fusion", None, bytes_),
        ("cast float32", "astype float32", floats),
        ("multiply 0.0625", "multiply 0.0625", floats),
        ("nn.bias_add float32[16]", "add float32[16,1,1]", floats),
        ("nn.relu", "nn.relu", floats),
    ]


@pytest.mark.parametrize("key", ["o2__skip_none", "o3__skip_none"])
@pytest.mark.parametrize("name", ["avgpool_input", "lenet", "permute_fc"])
def test_a_chain_has_nothing_that_relay_had_not(name, key):
    assert all(row["Relay"] for row in rows_of(name, key))


def test_only_markers_and_casts_without_effect_are_gone():
    gone = [row["Relay"] for row in rows_of("lenet", "o3__skip_none") if row["Relax"] is None]
    assert gone == ["cast int8", "annotation.stop_fusion"] * 2
