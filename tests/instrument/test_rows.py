"""Rows: every line once and in order, equal lines opposite each other, folding exact."""

import difflib

from hypothesis import example, given
from hypothesis import strategies as st

from tvm_book.instrument._rows import Cell, Row, fold, side_by_side_rows

LINES = st.lists(
    st.sampled_from(["", "    a = f(x)", "a = f(y)", "b = g(x, 1.5)", "return a", "}", "<&>"]),
    max_size=12,
).map("\n".join)


def text(cell):
    return "".join(piece for piece, _ in cell.pieces)


def unmarked(cell):
    return "".join(piece for piece, changed in cell.pieces if not changed)


@given(LINES, LINES)
@example("", "")
@example("a = f(x)\nb = g(x)", "b = g(y)\na = f(y)")
def test_every_line_stands_in_one_row_and_in_order(before, after):
    rows = side_by_side_rows(before, after)
    for side, script in ((0, before), (1, after)):
        cells = [row[side] for row in rows if row[side] is not None]
        assert [text(cell) for cell in cells] == script.splitlines()
        assert [cell.number for cell in cells] == list(range(1, len(cells) + 1))


@given(LINES, LINES)
def test_equal_rows_hold_equal_lines_and_others_do_not(before, after):
    rows = side_by_side_rows(before, after)
    assert all(row.left is not None or row.right is not None for row in rows)
    for row in rows:
        if row.equal:
            assert text(row.left) == text(row.right)
            assert not any(changed for _, changed in row.left.pieces + row.right.pieces)
    # As many equal lines as difflib finds, so a change is never larger than in the unified diff.
    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), False)
    assert sum(row.equal for row in rows) == sum(m.size for m in matcher.get_matching_blocks())


@given(LINES, LINES)
def test_marks_are_what_differs(before, after):
    """What two lines beside each other have in common is the same text once the marks are gone."""
    for row in side_by_side_rows(before, after):
        if row.left and row.right and any(c for _, c in row.left.pieces + row.right.pieces):
            assert unmarked(row.left) == unmarked(row.right)
            assert text(row.left) != text(row.right)


@given(LINES, LINES, st.integers(0, 4))
def test_folding_hides_equal_lines_only_and_counts_them(before, after, context):
    rows = side_by_side_rows(before, after)
    at, changes = 0, [i for i, row in enumerate(rows) if not row.equal]
    shown = []
    for item in fold(rows, context):
        if isinstance(item, Row):
            assert item == rows[at]
            shown.append(at)
            at += 1
        else:
            assert item > 1
            hidden = range(at, at + item)
            assert all(rows[i].equal and abs(i - c) > context for i in hidden for c in changes)
            at += item
    assert at == len(rows)
    far = [i for i in shown if all(abs(i - c) > context for c in changes)]
    assert not any(b - a == 1 for a, b in zip(far, far[1:], strict=False))  # only single ones stay


@given(LINES, LINES)
def test_no_context_keeps_all(before, after):
    rows = side_by_side_rows(before, after)
    assert list(fold(rows, None)) == rows


def test_a_context_that_is_wider_than_the_script_keeps_all_at_once():
    rows = side_by_side_rows("a = f()\nb = g()", "a = f()\nb = h()")
    assert list(fold(rows, 10**15)) == rows


def marks(before, after):
    (row,) = side_by_side_rows(before, after)
    return [[piece for piece, changed in cell.pieces if changed] for cell in row[:2]]


def test_words_are_whole_names_and_numbers():
    before = "    y: float32[4] = R.nn.conv2d(data, const[0], padding=[1, 1])"
    assert marks(before, before.replace("float32", "int32")) == [["float32"], ["int32"]]
    assert marks("y = f(0.0625)", "y = f(0.0312)") == [["0.0625"], ["0.0312"]]
    assert marks("y = f(x, -128)", "y = f(x, -127.0)") == [["-128"], ["-127.0"]]
    assert marks("y = f(x)", "y = f(x, k=1)") == [[], [", k=1"]]
    assert marks("    def one(x):", "    def two(x):") == [["one"], ["two"]]


def test_lines_that_call_the_same_function_stand_together():
    before = "a = R.conv(x)\nb = R.relu(a)"
    after = "q = R.quantize(x)\na = R.conv(q)\ns = R.shift(a)\nb = R.relu(s)"
    numbers = [
        (row.left and row.left.number, row.right and row.right.number)
        for row in side_by_side_rows(before, after)
    ]
    assert numbers == [(None, 1), (1, 2), (None, 3), (2, 4)]


def test_lines_that_have_nothing_in_common_are_not_marked():
    first, second = side_by_side_rows("a = R.hint(x)", "b = R.shift(x, 3)\nc = R.clip(b)")
    assert first == Row(
        Cell(1, (("a = R.hint(x)", False),)), Cell(1, (("b = R.shift(x, 3)", False),)), False
    )
    assert second == Row(None, Cell(2, (("c = R.clip(b)", False),)), False)


def test_a_line_that_occurs_hundreds_of_times_is_still_matched():
    before = "\n".join(["x = f()"] * 500)
    assert sum(row.equal for row in side_by_side_rows(before, "first = g()\n" + before)) == 500
