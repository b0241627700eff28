"""The table of supported operators, which the book renders from the rules."""

import pytest

from tvm_book import quantize
from tvm_book.quantize import Rule, rules
from tvm_book.quantize.rules import rules_table
from tvm_book.quantize.schemes import SCHEMES

RELAY = SCHEMES["relay"].rules
ROWS = {(row["op"], row["relay"]): row for row in rules_table(RELAY)}


def test_one_row_a_rule_in_the_order_of_the_rules():
    assert list(ROWS) == [(rule.op, rule.relay) for rule in RELAY]


@pytest.mark.parametrize(
    ("op", "relay", "others"),
    [
        ("relax.nn.conv2d", "nn.conv2d", ("own", "own", "own", True, True)),
        ("relax.nn.conv1d", "nn.conv1d", ("close_all", "own", "own", True, False)),
        ("relax.matmul", "nn.dense", ("close_all", "own", "own", True, True)),
        ("relax.matmul", "nn.batch_matmul", ("close_all", "own", "own", True, False)),
        ("relax.nn.relu", "nn.relu", ("keep_group", "keep_kind", "on_data", True, False)),
        ("relax.permute_dims", "transpose", ("close_all", "keep_kind", "on_data", True, False)),
        ("relax.nn.bias_add", "nn.bias_add", ("close_all", "leave_float", "own", False, False)),
    ],
)
def test_rows(op, relay, others):
    assert tuple(ROWS[op, relay].values()) == (op, relay, *others, "")


def test_every_operator_of_relay_is_there():
    """The operators that the specification of the Relay scheme gives a rule."""
    computing = {relay for (_, relay), row in ROWS.items() if row["integer"]}
    layers = {"nn.conv1d", "nn.conv2d", "nn.dense", "nn.batch_matmul"}
    elementwise = {"add", "multiply", "nn.relu", "clip"}
    pooling = {"nn.max_pool1d", "nn.max_pool2d", "nn.avg_pool2d", "nn.global_avg_pool2d"}
    shape = {"concatenate", "reshape", "transpose", "strided_slice", "nn.batch_flatten"}
    assert layers | elementwise | pooling | shape <= computing


def test_a_rule_without_functions_leaves_its_operator_in_float():
    (row,) = rules_table([Rule("relax.exp")])
    assert row == {
        "op": "relax.exp",
        "relay": "exp",
        "partition": "close_all",
        "annotate": "leave_float",
        "realize": "dequantize_all",
        "integer": False,
        "skippable": False,
        "why": "",
    }


def test_an_operator_that_the_affine_scheme_leaves_in_float_says_why():
    rows = rules_table(SCHEMES["affine"].rules)
    silent = {row["op"] for row in rows if not row["integer"] and not row["why"]}
    assert silent == {"relax.qnn.simulated_quantize"}  # the rounding itself


def test_rules_of_a_configuration_have_rows_too():
    negative = Rule("relax.negative", rules.keep_group, rules.keep_kind, rules.on_data)
    (row,) = rules_table(quantize.qconfig(rules=[negative]).rules)
    assert (row["op"], row["integer"]) == ("relax.negative", True)
